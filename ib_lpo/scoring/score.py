"""Stage `score`: compares the readings of siblings and hands every trajectory its S_IB. Scores carry no gradient; they only rank."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ib_lpo.manifest import Manifest
from ib_lpo.scoring.estimators import z_scores
from ib_lpo.scoring.forward import Cost
from ib_lpo.scoring.reading import Reading
from ib_lpo.scoring.siblings import sibling_sets, verifiable
from ib_lpo.tree import IbScore, RolloutTree, Trajectory, Verdict


def score_trees(trees: list[RolloutTree], readings: Sequence[Mapping[str, Reading]], cost: Cost, manifest: Manifest) -> dict[str, float]:
    """Set `ib` of every trajectory; returns the `ib/...` metrics. `readings`: one mapping by trajectory id per tree.

    S_IB = beta * z(I(r;a)) - z(I(q;r)), dimensionless, z over the siblings of `filter.scope`.
    Raises ValueError when a trajectory has no reading or one is not finite (a broken scoring model must not rank anything).
    """
    if len(readings) != len(trees):
        raise ValueError(f"readings of {len(readings)} trees, but there are {len(trees)}; read the same list")
    for tree, of_tree in zip(trees, readings, strict=True):
        for siblings in sibling_sets(tree, manifest.filter.scope):
            _compare(siblings, [_checked(t, of_tree.get(t.id)) for t in siblings], manifest)
    return _metrics(trees, cost, manifest.filter.scope)


def _compare(siblings: list[Trajectory], readings: list[Reading], manifest: Manifest) -> None:
    relevances = z_scores([reading.terms.relevance for reading in readings])
    compressions = z_scores([reading.terms.compression for reading in readings])
    for trajectory, reading, relevance_z, compression_z in zip(siblings, readings, relevances, compressions, strict=True):
        trajectory.ib = IbScore(
            estimator=manifest.ib.estimator,
            relevance=reading.terms.relevance,
            compression=reading.terms.compression,
            relevance_z=float(relevance_z),
            compression_z=float(compression_z),
            score=float(manifest.ib.beta * relevance_z - compression_z),
            profile_at=reading.profile_at,
            profile=reading.profile,
        )


def _checked(trajectory: Trajectory, reading: Reading | None) -> Reading:
    if reading is None:
        raise ValueError(f"{trajectory.id}: the scorer returned no reading of it; score the same trees")
    if not all(map(math.isfinite, (reading.terms.relevance, reading.terms.compression, *reading.profile))):
        raise ValueError(f"{trajectory.id}: {reading} is not finite; check the scoring model's weights")
    return reading


def _metrics(trees: list[RolloutTree], cost: Cost, scope: str) -> dict[str, float]:
    """Means in nats over verifiable branches and, with `root_`, roots; by verdict for branches. A mean over nothing is absent.

    `scored`: trajectories, unverifiable ones included. `spread`: mean over sets of at least two sibling branches of the largest minus the
    smallest score (0: they cannot be told apart).
    `tokens_per_trajectory`: tokens forwarded through the scoring model; `token_share`: of what every pass on its own would take.
    """
    sets = [siblings for tree in trees for siblings in sibling_sets(tree, scope)]
    judged = [siblings for siblings in sets if verifiable(siblings[0])]
    roots = [t for siblings in judged for t in siblings if t.parent is None]
    branches = [t for siblings in judged for t in siblings if t.parent is not None]
    right = [t for t in branches if t.verdict is Verdict.CORRECT]
    wrong = [t for t in branches if t.verdict in (Verdict.WRONG, Verdict.NO_ANSWER)]
    families = [[t.ib.score for t in siblings] for siblings in judged if siblings[0].parent is not None and len(siblings) > 1]
    scored = sum(map(len, sets))
    means = {
        "relevance": _mean(branches, _relevance),
        "compression": _mean(branches, _compression),
        "root_relevance": _mean(roots, _relevance),
        "root_compression": _mean(roots, _compression),
        "score_correct": _mean(right, _score),
        "score_wrong": _mean(wrong, _score),
        "spread": _mean(families, np.ptp),
        "tokens_per_trajectory": cost.forwarded / scored if cost.flat else None,
        "token_share": cost.forwarded / cost.flat if cost.flat else None,
    }
    return {"ib/scored": float(scored)} | {f"ib/{name}": v for name, v in means.items() if v is not None}


def _mean(things: Sequence, value: Callable) -> float | None:
    return float(np.mean([value(thing) for thing in things])) if things else None


def _relevance(trajectory: Trajectory) -> float:
    return trajectory.ib.relevance


def _compression(trajectory: Trajectory) -> float:
    return trajectory.ib.compression


def _score(trajectory: Trajectory) -> float:
    return trajectory.ib.score
