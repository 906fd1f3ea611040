"""Stage `score`: hands every trajectory its S_IB. Scores carry no gradient; they only rank siblings."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ib_lpo.tree import IbScore, RolloutTree, Trajectory, Verdict


def apply_scores(trees: list[RolloutTree], scores: Sequence[Mapping[str, IbScore]]) -> dict[str, float]:
    """Set `ib` of every trajectory; returns the `ib/...` metrics. `scores`: one mapping by trajectory id per tree.

    Raises ValueError when a trajectory has no score or a score is not finite (a broken scoring model must not rank anything).
    """
    if len(scores) != len(trees):
        raise ValueError(f"scores for {len(scores)} trees, but there are {len(trees)}; score the same list")
    for tree, of_tree in zip(trees, scores, strict=True):
        for trajectory in tree.trajectories:
            trajectory.ib = _checked(trajectory, of_tree.get(trajectory.id))
    return _metrics(trees)


def _checked(trajectory: Trajectory, score: IbScore | None) -> IbScore:
    if score is None:
        raise ValueError(f"{trajectory.id}: the scorer returned no score for it; score the same trees")
    if not all(map(math.isfinite, (score.relevance, score.compression, score.score))):
        raise ValueError(f"{trajectory.id}: {score} is not finite; check the scoring model's weights")
    return score


def _metrics(trees: list[RolloutTree]) -> dict[str, float]:
    """Means in nats over branches and, with `root_`, over roots; by verdict for branches. A mean over nothing is absent.

    `spread`: mean over roots of the largest minus the smallest score of its branches (0: siblings cannot be told apart).
    """
    roots = [root for tree in trees for root in tree.roots]
    branches = [t for tree in trees for t in tree.trajectories if t.parent is not None]
    right = [t for t in branches if t.verdict is Verdict.CORRECT]
    wrong = [t for t in branches if t.verdict in (Verdict.WRONG, Verdict.NO_ANSWER)]
    families = [[b.ib.score for b in tree.branches(root)] for tree in trees for root in tree.roots]
    means = {
        "relevance": _mean(branches, _relevance),
        "compression": _mean(branches, _compression),
        "root_relevance": _mean(roots, _relevance),
        "root_compression": _mean(roots, _compression),
        "score_correct": _mean(right, _score),
        "score_wrong": _mean(wrong, _score),
        "spread": _mean([family for family in families if family], np.ptp),
    }
    return {"ib/scored": float(len(roots) + len(branches))} | {f"ib/{name}": v for name, v in means.items() if v is not None}


def _mean(things: Sequence, value: Callable) -> float | None:
    return float(np.mean([value(thing) for thing in things])) if things else None


def _relevance(trajectory: Trajectory) -> float:
    return trajectory.ib.relevance


def _compression(trajectory: Trajectory) -> float:
    return trajectory.ib.compression


def _score(trajectory: Trajectory) -> float:
    return trajectory.ib.score
