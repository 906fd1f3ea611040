"""Which trajectories of a question are compared with one another.

Every trajectory is in exactly one set, and nothing in one set depends on another: an unverifiable trajectory cannot be kept, so it must
not move the scores or the ranks of those that can.
"""

from collections.abc import Callable
from typing import Literal

from ib_lpo.tree import RolloutTree, Trajectory, Verdict

_FAMILY: dict[str, Callable[[Trajectory], str]] = {
    "root": lambda trajectory: trajectory.parent or "",
    "prompt": lambda trajectory: "branches" if trajectory.parent else "",
}


def sibling_sets(tree: RolloutTree, scope: Literal["root", "prompt"]) -> list[list[Trajectory]]:
    """The roots, then the branches: those of each root, or all of the question. Of each the verifiable, then the unverifiable ones.

    No set is empty; within a set the order is the tree's.
    """
    sets: dict[tuple[str, bool], list[Trajectory]] = {}
    for trajectory in tree.trajectories:
        sets.setdefault((_FAMILY[scope](trajectory), not verifiable(trajectory)), []).append(trajectory)
    return [sets[key] for key in sorted(sets)]


def verifiable(trajectory: Trajectory) -> bool:
    return trajectory.verdict is not Verdict.UNVERIFIABLE
