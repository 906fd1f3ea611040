"""What forks decided: whether the continuations that leave a place end alike. Read off graded trees; pure.

The continuations of a fork are the rest of the trajectory that forked and every branch that leaves it there. A fork
whose continuations all have one reward says nothing about the tokens behind it: its outcome was decided before.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from ib_lpo.tree import RolloutTree, Trajectory

QUARTERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkOutcome:
    """One fork with all that leaves it."""

    parent: Trajectory
    position: int  # of the fork, index into the parent's whole response
    branches: list[Trajectory]

    @property
    def decided(self) -> bool | None:
        """Whether all graded continuations have one reward; None with fewer than two of them."""
        rewards = [t.reward for t in (self.parent, *self.branches) if t.reward is not None]
        return None if len(rewards) < 2 else len(set(rewards)) == 1

    @property
    def quarter(self) -> int:
        """Quarter of the parent's response in which the fork lies, from 0."""
        return quarter(self.position, self.parent.response_ids.size)


def quarter(position: int, length: int) -> int:
    """In which quarter of a response of `length` tokens a position lies, from 0."""
    return min(QUARTERS - 1, QUARTERS * position // max(1, length))


def right(trajectory: Trajectory) -> bool | None:
    """Whether it has the highest reward there is, 1; None without a reward."""
    return None if trajectory.reward is None else trajectory.reward == 1.0


def fork_outcomes(tree: RolloutTree) -> list[ForkOutcome]:
    """All forks of a tree, in the order of their first branches."""
    leaving: dict[tuple[str, int], list[Trajectory]] = defaultdict(list)
    for branch in (t for t in tree.trajectories if t.parent is not None and t.fork is not None):
        leaving[branch.parent, branch.fork.position].append(branch)
    named = {t.id: t for t in tree.trajectories}
    return [ForkOutcome(parent=named[id], position=position, branches=of) for (id, position), of in leaving.items()]


def outcome_metrics(trees: list[RolloutTree]) -> dict[str, float]:
    """`grow/...`; a share of nothing is absent.

    `decided_forks`: of forks with at least two graded continuations, those where all have one reward; `open_forks_q1`
    to `_q4`: the complement, by the quarter of the parent's response. `branch_right_given_root_wrong` and `_right`: of
    graded branches below a root that is wrong or right, at any depth, those with reward 1.
    """
    known = [fork for tree in trees for fork in fork_outcomes(tree) if fork.decided is not None]
    shares = {"decided_forks": _share(fork.decided for fork in known)}
    for number in range(QUARTERS):
        shares[f"open_forks_q{number + 1}"] = _share(not fork.decided for fork in known if fork.quarter == number)
    for given, name in ((False, "branch_right_given_root_wrong"), (True, "branch_right_given_root_right")):
        below = [branch for tree in trees for branch in _below(tree, given)]
        shares[name] = _share(right(branch) for branch in below if branch.reward is not None)
    return {f"grow/{name}": share for name, share in shares.items() if share is not None}


def _below(tree: RolloutTree, given: bool) -> list[Trajectory]:
    """The branches that descend from roots which are right (`given`), or wrong."""
    named, lineages = {t.id: t for t in tree.trajectories}, tree.lineages()
    return [t for t in tree.trajectories if t.parent is not None and right(named[lineages[t.id][-1]]) is given]


def _share(held: Iterable[bool]) -> float | None:
    values = list(held)
    return sum(values) / len(values) if values else None
