"""The IB scorer: owns a language model and turns rollout trees into S_IB scores (method.md section 2).

With `ib.scorer: policy` the model follows the policy through the Receiver protocol and refuses to score before its first complete
update and during one; with `reference` it is frozen. Scores are z-scored among siblings: the branches of one root, or the roots of a
question (logged only). Results are small: trees come in, numbers go out.
"""

from collections.abc import Iterator

import numpy as np

from ib_lpo.errors import UserError
from ib_lpo.manifest import Manifest
from ib_lpo.policy.dtype import compute_dtype
from ib_lpo.policy.load import load_policy, load_tokenizer, text_decoder
from ib_lpo.scoring.estimators import ESTIMATORS, Terms, rank_scores
from ib_lpo.scoring.forward import pass_logprobs
from ib_lpo.scoring.model_copy import ModelCopy
from ib_lpo.scoring.passes import PASSES
from ib_lpo.tree import IbScore, RolloutTree, Trajectory, Verdict
from ib_lpo.weights.bucket import Bucket, Receipt

Scores = dict[str, IbScore]  # by trajectory id


class IBScorer:
    """Run it as a worker of a fleet or in-process. `device` is a torch device, e.g. "cpu" or "cuda"."""

    def __init__(self, manifest: Manifest, device: str, name: str = "scorer") -> None:
        self._ib = manifest.ib
        self._chunk = manifest.learner.logprob_chunk
        if self._ib.estimator not in ESTIMATORS:
            raise ValueError(f"ib.estimator={self._ib.estimator}: needs no scorer; choose one of {', '.join(ESTIMATORS)}, or start none")
        self._estimator = ESTIMATORS[self._ib.estimator]
        dtype = compute_dtype(manifest.learner, device)
        other = self._ib.reference_model
        source = manifest.model if other is None else manifest.model.model_copy(update={"path": str(other), "revision": None})
        tokenizer = load_tokenizer(manifest.model)
        if other is not None and load_tokenizer(source).get_vocab() != tokenizer.get_vocab():
            raise UserError(f"ib.reference_model={str(other)!r}: its tokenizer is not the policy's; it would score other text")
        self._decode = text_decoder(tokenizer)
        self._copy = ModelCopy(load_policy(source, dtype=dtype, device=device), name=name, frozen=self._ib.scorer == "reference")

    def ready(self) -> None:
        """Answers once the model is loaded."""

    def begin_update(self, version: int) -> None:
        self._copy.begin_update(version)

    def load_bucket(self, bucket: Bucket) -> None:
        self._copy.load_bucket(bucket)

    def finish_update(self) -> Receipt:
        return self._copy.finish_update()

    def score(self, trees: list[RolloutTree]) -> list[Scores]:
        """Scores of every trajectory, one dict per tree. Raises ModelCopyError while the weights are not those of one version."""
        model = self._copy.model
        wanted = [(tree.question, t, need) for tree in trees for t in tree.trajectories for need in sorted(self._estimator.needs)]
        passes = [PASSES[need](question, trajectory, self._decode) for question, trajectory, need in wanted]
        measured = pass_logprobs(model, passes, max_tokens=self._ib.max_tokens_per_batch, chunk=self._chunk)
        logprobs = iter(measured)
        return [self._rank(tree, {t.id: self._terms(logprobs) for t in tree.trajectories}) for tree in trees]

    def _terms(self, logprobs: Iterator[np.ndarray]) -> Terms:
        """Consumes the passes of one trajectory."""
        return self._estimator.terms({need: next(logprobs) for need in sorted(self._estimator.needs)}, self._ib.reference_length)

    def _rank(self, tree: RolloutTree, terms: dict[str, Terms]) -> Scores:
        scores: Scores = {}
        for siblings in [tree.roots, *(tree.branches(root) for root in tree.roots)]:
            for candidate in (True, False):  # an unverifiable sibling cannot be kept, so it must not set the scale for the others
                group = [t for t in siblings if (t.verdict is not Verdict.UNVERIFIABLE) == candidate]
                scores |= self._rank_siblings(group, terms)
        return scores

    def _rank_siblings(self, siblings: list[Trajectory], terms: dict[str, Terms]) -> Scores:
        values = rank_scores([terms[t.id] for t in siblings], self._ib.beta)
        return {
            t.id: IbScore(relevance=terms[t.id].relevance, compression=terms[t.id].compression, score=float(value))
            for t, value in zip(siblings, values, strict=True)
        }
