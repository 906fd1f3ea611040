"""The IB scorer: owns a language model and reads rollout trees with it (method.md section 2).

With `ib.scorer: policy` the model follows the policy through the Receiver protocol and refuses to score before its first commit and after
one that failed; with `reference` it is frozen. Results are small: trees come in, numbers go out.
"""

from ib_lpo.errors import UserError
from ib_lpo.manifest import Manifest
from ib_lpo.policy.forest import Path
from ib_lpo.policy.load import load_policy, load_tokenizer, text_decoder
from ib_lpo.policy.packed_attention import install
from ib_lpo.scoring.estimators import Scored
from ib_lpo.scoring.forward import Cost, score_paths
from ib_lpo.scoring.model_copy import ModelCopy
from ib_lpo.scoring.reading import Reading, read
from ib_lpo.tree import RolloutTree
from ib_lpo.weights.dtype import copy_dtype
from ib_lpo.weights.parcel import Parcel, Receipt
from ib_lpo.weights.place import Place, here


class IBScorer:
    """Run it as a worker of a fleet or in-process. `device` is a torch device, e.g. "cpu" or "cuda"."""

    def __init__(self, manifest: Manifest, device: str, name: str = "scorer") -> None:
        self._ib = manifest.ib
        if not manifest.runs_scorer:
            raise ValueError(f"ib.estimator={self._ib.estimator}: asks a scoring model nothing; start no scorer")
        self._chunk = manifest.learner.logprob_chunk
        dtype = copy_dtype(manifest, device)
        other = self._ib.reference_model
        source = manifest.model if other is None else manifest.model.model_copy(update={"path": str(other), "revision": None})
        tokenizer = load_tokenizer(manifest.model)
        if other is not None and load_tokenizer(source).get_vocab() != tokenizer.get_vocab():
            raise UserError(f"ib.reference_model={str(other)!r}: its tokenizer is not the policy's; it would score other text")
        self._decode = text_decoder(tokenizer)
        model = load_policy(source, dtype=dtype, device=device)
        install(model, None)
        self._device, self._name = device, name
        self._copy = ModelCopy(model, name=name, frozen=self._ib.scorer == "reference", config=manifest.weights)

    def ready(self) -> None:
        """Answers once the model is loaded."""

    def place(self) -> Place:
        """Where it is; decides how weights reach it."""
        return here(self._device, self._name)

    def stage(self, parcel: Parcel) -> None:
        """Make sure that all of `parcel` can be read here; the old version is scored with until `commit`. Raises TransferError."""
        self._copy.stage(parcel)

    def commit(self, version: int) -> Receipt:
        """Score with the staged version from now on. Raises TransferError; a commit that failed leaves the scorer unfit."""
        return self._copy.commit(version)

    def take(self, parcel: Parcel) -> Receipt:
        """Score with `parcel`'s version from now on, staged before or not: may be asked again, or of a scorer that has just started."""
        if not self._copy.holds(parcel.version):
            self._copy.stage(parcel)
        return self._copy.commit(parcel.version)

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
