"""Stage `filter`: which trajectories are trained on (method.md section 2).

Of each root's verifiable branches the N with the highest S_IB stay; ties go to the lower id. A filtered trajectory is absent (kept
False), never reward 0, and an UNVERIFIABLE one is never kept. The result does not depend on the order of trajectories.
"""

import re
from collections import Counter

from ib_lpo.manifest import Manifest
from ib_lpo.tree import Label, RolloutTree, Trajectory, Verdict

_KEPT = {Label.ROOT: True, Label.TOP: True, Label.UNSCORED: True, Label.PRUNED: False, Label.UNVERIFIABLE: False}


def filter_branches(trees: list[RolloutTree], manifest: Manifest) -> dict[str, float]:
    """Set `kept` and `label` of every trajectory; returns counts `filter/kept`, `filter/dropped` and one per label.

    Raises ValueError for a trajectory that was not graded, or not scored while ib.estimator is on.
    """
    for tree in trees:
        for trajectory, label in _labels(tree, manifest):
            trajectory.label, trajectory.kept = label, _KEPT[label]
    everyone = [t for tree in trees for t in tree.trajectories]
    counts = Counter(t.label for t in everyone)
    kept = sum(t.kept for t in everyone)
    totals = {"filter/kept": float(kept), "filter/dropped": float(len(everyone) - kept)}
    return totals | {f"filter/{label}": float(counts[label]) for label in Label}


def _labels(tree: RolloutTree, manifest: Manifest) -> list[tuple[Trajectory, Label]]:
    scored = manifest.ib.estimator != "none"
    for trajectory in tree.trajectories:
        _require_ready(trajectory, scored)
    labels = [(t, Label.UNVERIFIABLE) for t in tree.trajectories if not _verifiable(t)]
    if not scored:
        return labels + [(t, Label.UNSCORED) for t in tree.trajectories if _verifiable(t)]
    of_root = Label.ROOT if manifest.filter.keep_roots else Label.PRUNED
    for root in tree.roots:
        if _verifiable(root):
            labels.append((root, of_root))
        ranked = sorted(filter(_verifiable, tree.branches(root)), key=lambda t: (-t.ib.score, _natural(t.id)))
        labels += [(t, Label.TOP if rank < manifest.keep_per_root else Label.PRUNED) for rank, t in enumerate(ranked)]
    return labels


def _verifiable(trajectory: Trajectory) -> bool:
    return trajectory.verdict is not Verdict.UNVERIFIABLE


def _natural(trajectory_id: str) -> list[tuple[int, str]]:
    """Order of ids with numbers by value: b2 before b10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", trajectory_id)]


def _require_ready(trajectory: Trajectory, scored: bool) -> None:
    if trajectory.verdict is None:
        raise ValueError(f"{trajectory.id}: not graded; run grade_trees before filter_branches")
    if scored and trajectory.ib is None:
        raise ValueError(f"{trajectory.id}: not scored; run apply_scores before filter_branches, or set ib.estimator=none")
