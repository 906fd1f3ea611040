"""The IB scorer: owns a language model and reads rollout trees with it (method.md section 2).

With `ib.scorer: policy` the model follows the policy through the Receiver protocol and refuses to score before its first complete
update and during one; with `reference` it is frozen. Results are small: trees come in, numbers go out.
"""

from ib_lpo.errors import UserError
from ib_lpo.manifest import Manifest
from ib_lpo.policy.dtype import compute_dtype
from ib_lpo.policy.forest import Path
from ib_lpo.policy.load import load_policy, load_tokenizer, text_decoder
from ib_lpo.policy.packed_attention import install
from ib_lpo.scoring.estimators import Scored
from ib_lpo.scoring.forward import Cost, score_paths
from ib_lpo.scoring.model_copy import ModelCopy
from ib_lpo.scoring.reading import Reading, read
from ib_lpo.tree import RolloutTree
from ib_lpo.weights.bucket import Bucket, Receipt


class IBScorer:
    """Run it as a worker of a fleet or in-process. `device` is a torch device, e.g. "cpu" or "cuda"."""

    def __init__(self, manifest: Manifest, device: str, name: str = "scorer") -> None:
        self._ib = manifest.ib
        if not manifest.runs_scorer:
            raise ValueError(f"ib.estimator={self._ib.estimator}: asks a scoring model nothing; start no scorer")
        self._chunk = manifest.learner.logprob_chunk
        dtype = compute_dtype(manifest.learner, device)
        other = self._ib.reference_model
        source = manifest.model if other is None else manifest.model.model_copy(update={"path": str(other), "revision": None})
        tokenizer = load_tokenizer(manifest.model)
        if other is not None and load_tokenizer(source).get_vocab() != tokenizer.get_vocab():
            raise UserError(f"ib.reference_model={str(other)!r}: its tokenizer is not the policy's; it would score other text")
        self._decode = text_decoder(tokenizer)
        model = load_policy(source, dtype=dtype, device=device)
        install(model, None)
        self._copy = ModelCopy(model, name=name, frozen=self._ib.scorer == "reference")

    def ready(self) -> None:
        """Answers once the model is loaded."""

    def begin_update(self, version: int) -> None:
        self._copy.begin_update(version)

    def load_bucket(self, bucket: Bucket) -> None:
        self._copy.load_bucket(bucket)

    def finish_update(self) -> Receipt:
        return self._copy.finish_update()

    def score(self, trees: list[RolloutTree]) -> tuple[list[dict[str, Reading]], Cost]:
        """The reading of every trajectory by its id, one dict per tree, and what it cost.

        Raises ModelCopyError while the weights are not those of one version.
        """
        model, spent = self._copy.model, Cost(0, 0)

        def measure(paths: list[Path]) -> list[Scored]:
            nonlocal spent
            scored, spent = score_paths(model, paths, max_tokens=self._ib.max_tokens_per_batch, chunk=self._chunk)
            return scored

        return read(trees, self._ib, self._decode, measure), spent
