"""Stage `filter`: which trajectories are trained on (method.md section 2).

Of each set of verifiable branches that are compared (`filter.scope`) a rule (`filter.kind`, scoring/filters/) says which stay, and with
what weight; equal scores go by id, the lower first. A branch that is dropped changes nothing for those that leave it: they hold its tokens
in their own prefix. A filtered
trajectory is absent (kept False), never reward 0, and an UNVERIFIABLE one is never kept. The result does not depend on the order of
trajectories.
"""

from collections import Counter

from ib_lpo.manifest import Manifest
from ib_lpo.scoring.filters import FILTERS
from ib_lpo.scoring.siblings import sibling_sets, verifiable
from ib_lpo.tree import Label, RolloutTree, Trajectory, natural_order

_KEPT = {Label.ROOT: True, Label.TOP: True, Label.UNSCORED: True, Label.PRUNED: False, Label.UNVERIFIABLE: False}


def filter_branches(trees: list[RolloutTree], manifest: Manifest) -> dict[str, float]:
    """Set `kept`, `label`, `rank` and `weight` of every trajectory. Returns counts `filter/kept`, `filter/dropped` and one per label;
    and `filter/right_share_before` and `..._after`, the share of right ones among the ranked branches and among those that stay, absent
    without any.

    `rank` is 1 for the best of a set of branches, and None for whatever is no verifiable, scored branch; `weight` is 1 there.
    Raises ValueError for a trajectory that was not graded, or not scored while ib.estimator is on.
    """
    for tree in trees:
        for trajectory in tree.trajectories:
            _require_ready(trajectory, manifest.ib.estimator != "none")
        for siblings in sibling_sets(tree, manifest.filter.scope):
            _decide(siblings, manifest)
    everyone = [t for tree in trees for t in tree.trajectories]
    counts = Counter(t.label for t in everyone)
    kept = sum(t.kept for t in everyone)
    totals = {"filter/kept": float(kept), "filter/dropped": float(len(everyone) - kept)}
    return totals | {f"filter/{label}": float(counts[label]) for label in Label} | _right_shares(everyone)


def _right_shares(everyone: list[Trajectory]) -> dict[str, float]:
    ranked = [t for t in everyone if t.rank is not None]
    right = {"right_share_before": [t.reward == 1 for t in ranked], "right_share_after": [t.reward == 1 for t in ranked if t.kept]}
    return {f"filter/{name}": sum(found) / len(found) for name, found in right.items() if found}


def _decide(siblings: list[Trajectory], manifest: Manifest) -> None:
    if not verifiable(siblings[0]):
        _mark(siblings, Label.UNVERIFIABLE)
    elif manifest.ib.estimator == "none":
        _mark(siblings, Label.UNSCORED)
    elif siblings[0].parent is None:
        _mark(siblings, Label.ROOT if manifest.filter.keep_roots else Label.PRUNED)
    else:
        ranked = sorted(siblings, key=lambda t: (-t.ib.score, natural_order(t.id)))
        weights = FILTERS[manifest.filter.kind](ranked, manifest.kept_branches, manifest.filter)
        for rank, (trajectory, weight) in enumerate(zip(ranked, weights, strict=True), start=1):
            _mark([trajectory], Label.PRUNED if weight is None else Label.TOP)
            trajectory.rank, trajectory.weight = rank, 1.0 if weight is None else weight


def _mark(trajectories: list[Trajectory], label: Label) -> None:
    for trajectory in trajectories:
        trajectory.label, trajectory.kept, trajectory.rank, trajectory.weight = label, _KEPT[label], None, 1.0


def _require_ready(trajectory: Trajectory, scored: bool) -> None:
    if trajectory.verdict is None:
        raise ValueError(f"{trajectory.id}: not graded; run grade_trees before filter_branches")
    if scored and trajectory.ib is None:
        raise ValueError(f"{trajectory.id}: not scored; run score_trees before filter_branches, or set ib.estimator=none")
