"""The held-out check: plain samples of the current policy, without branching and without z.

The first check of a run and its last one may rest on more samples than those between (`held_out.samples_at_end`).
pass@k, maj@k and measures of diversity are there wherever the n samples of a check allow: k <= n, and
n >= `evaluation.diversity_samples`.
"""

from collections.abc import Sequence

import numpy as np

from ib_lpo.assembly import Assembly
from ib_lpo.branching.scheduler import PlainSampling
from ib_lpo.data.config import HeldOutConfig
from ib_lpo.diversity.measures import measure
from ib_lpo.evaluation.embedder import embedder
from ib_lpo.evaluation.outcome import Outcome, graded_outcomes
from ib_lpo.evaluation.summary import DIVERSITY, per_question
from ib_lpo.manifest import Manifest
from ib_lpo.scoring.answer_classes import comparing
from ib_lpo.scoring.grade import grade_trees
from ib_lpo.scoring.grades import Grade
from ib_lpo.tree import RolloutTree, Verdict

_RATES = ("pass@", "maj@")


def due(step: int, manifest: Manifest, *, last: bool) -> bool:
    """Whether a check follows `step`: every `held_out.every` steps, before the first step and after the `last` one."""
    every = manifest.held_out.every
    return step == 0 or last or (every > 0 and step % every == 0)


def held_out(parts: Assembly, version: int, *, at_end: bool) -> dict[str, float]:
    """`held_out/...` of policy `version`, empty without held-out data; `at_end`: whether it is the first or last check.

    `accuracy` is over all samples, unverifiable ones count as not solved. The others: metrics/evaluation.py.
    """
    if not parts.sets.held_out:
        return {}
    config = parts.manifest.held_out
    n = samples(config, at_end=at_end)
    trees = parts.scheduler.sample(version, parts.sets.held_out, _sampling(parts.manifest, n))
    grade_trees(trees, parts.grade, parts.decode)
    ks = [k for k in sorted(set(config.ks)) if k <= n]
    compared = config.diversity and n >= parts.manifest.evaluation.diversity_samples
    found = _outcomes(trees, parts) if ks or compared else []
    if compared:
        _compare(found, trees, parts.manifest)
    return _of_samples(trees) | _of_questions(found, ks)


def samples(config: HeldOutConfig, *, at_end: bool) -> int:
    """n, samples of a question in a check; `at_end`: in the first check or the last."""
    return config.samples_at_end if at_end and config.samples_at_end is not None else config.samples


def _sampling(manifest: Manifest, n: int) -> PlainSampling:
    longest = manifest.rollout.max_response_tokens
    return PlainSampling(purpose="held_out", samples=n, temperature=manifest.held_out.temperature, max_response_tokens=longest)


def _of_samples(trees: Sequence[RolloutTree]) -> dict[str, float]:
    roots = [root for tree in trees for root in tree.roots]
    entropies = np.concatenate([root.entropies for root in roots]) if roots else np.zeros(0)
    means = {"entropy": float(entropies.mean(dtype=np.float64))} if entropies.size else {}
    return {
        "held_out/accuracy": sum(root.verdict is Verdict.CORRECT for root in roots) / len(roots),
        "held_out/samples": len(roots),
        "held_out/questions": len(trees),
        "held_out/unverifiable": sum(root.verdict is Verdict.UNVERIFIABLE for root in roots),
        **{f"held_out/{name}": value for name, value in means.items()},
        "held_out/response_tokens": float(np.mean([root.token_ids.size for root in roots])),
    }


def _of_questions(found: Sequence[Outcome], ks: Sequence[int]) -> dict[str, float]:
    """Means over questions; a measure of diversity that is undefined for a question is a mean over the others."""
    rows = [per_question(outcome, ks) for outcome in found]
    names = dict.fromkeys(name for row in rows for name in row if name.startswith((*_RATES, DIVERSITY)))
    return {f"held_out/{name}": float(np.mean([row[name] for row in rows if name in row])) for name in names}


def _outcomes(trees: Sequence[RolloutTree], parts: Assembly) -> list[Outcome]:
    """Of graded trees; nothing is graded again but what compares answers with one another."""
    ids = [[root.token_ids.tolist() for root in tree.roots] for tree in trees]
    with comparing(parts.manifest.verifier, parts.grade) as compare:
        return graded_outcomes(
            [tree.question for tree in trees],
            [[parts.decode(of) for of in row] for row in ids],
            [[len(of) for of in row] for row in ids],
            [[root.status for root in tree.roots] for tree in trees],
            [Grade(root.verdict, None, root.reward) for tree in trees for root in tree.roots],
            compare,
        )


def _compare(found: Sequence[Outcome], trees: Sequence[RolloutTree], manifest: Manifest) -> None:
    """Fill in how the first `evaluation.diversity_samples` samples of every question differ, as `ib-lpo eval` does."""
    encode, few = embedder(manifest), slice(manifest.evaluation.diversity_samples)
    for outcome, tree in zip(found, trees, strict=True):
        ids = [root.token_ids for root in tree.roots][few]
        features = None if encode is None else encode(ids).numpy()
        texts = [sample.text for sample in outcome.samples[few]]
        answers = None if outcome.answerless else [sample.answer_class for sample in outcome.samples[few]]
        outcome.diversity.update(measure([one.tolist() for one in ids], texts, answers, features))
