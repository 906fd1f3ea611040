"""Which trajectories of a question are compared with one another.

Every trajectory is in exactly one set, and nothing in one set depends on another: an unverifiable trajectory cannot be kept, so it must
not move the scores or the ranks of those that can. Branches of one root are siblings whatever fork and level they left at: a single fork
has too few branches to rank, and a chain has one. All are scored on the tokens that they own.
"""

from collections.abc import Callable
from typing import Literal

from ib_lpo.tree import RolloutTree, Trajectory, Verdict

_FAMILY: dict[str, Callable[[str], str]] = {"root": lambda root: root, "prompt": lambda root: "branches"}
"""What the branches of a root with this id have in common."""


def sibling_sets(tree: RolloutTree, scope: Literal["root", "prompt"]) -> list[list[Trajectory]]:
    """The roots, then the branches: those that descend from each root, or all of the question. Of each the verifiable, then the
    unverifiable ones.

    No set is empty; within a set the order is the tree's.
    """
    lineages = tree.lineages()
    sets: dict[tuple[str, bool], list[Trajectory]] = {}
    for trajectory in tree.trajectories:
        family = "" if trajectory.parent is None else _FAMILY[scope](lineages[trajectory.id][-1])
        sets.setdefault((family, not verifiable(trajectory)), []).append(trajectory)
    return [sets[key] for key in sorted(sets)]


def verifiable(trajectory: Trajectory) -> bool:
    return trajectory.verdict is not Verdict.UNVERIFIABLE
