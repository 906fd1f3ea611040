"""Credit by the values at forks (VinePPO, arXiv 2410.01679; TreeRL, 2506.11902; SPO, 2505.23564): what branches leave is sampled again.

A node is a place in a trajectory's own tokens at which branches leave it. What leaves a node are the trajectory's own continuation and
these branches. V of a continuation that meets no further node is its reward; V of a node is the mean of V of what leaves it, so that
subtrees weigh and not leaves. The nodes cut a trajectory's own tokens into segments:

    advantage of a segment = V(its end) - mean of V of the other continuations that leave the node it starts at

A root starts at the question, which all roots leave. The mean leaves out the subtree that the segment belongs to, so it is independent of
the segment's tokens, and the estimate unbiased (method.md section 3 says when). Where no other continuation has a reward, the comparison of
the segment before it serves; where there is none at all, the advantage is 0. Without branches this is leave_one_out.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from statistics import fmean

from ib_lpo.learner.advantages.base import Compared, all_equal, scale, whole
from ib_lpo.tree import RolloutTree, Segment, Trajectory


def vine(compared: Compared) -> list[tuple[Segment, ...]]:
    """With `advantage.path_weights` a segment counts in proportion to the share of its tree that passes through it."""
    if all_equal(compared.rewards):
        return whole(compared, compared.rewards * 0.0)
    rewards = {t.id: float(r) for t, r in zip(compared.counted, compared.rewards, strict=True)}
    paths = _paths(compared.tree, rewards)
    divisor = scale(compared.rewards, compared.std)
    return [_segments(paths[t.id], divisor, compared.config.path_weights) for t in compared.counted]


@dataclass(slots=True, eq=False)
class _Path:
    """A trajectory, cut at its nodes. Segment j runs from cuts[j] to cuts[j + 1]; node j is where segment j starts."""

    trajectory: Trajectory
    cuts: list[int]  # ascending own-token indices: 0, then the nodes, then the number of own tokens
    leaving: list[list["_Path"]]  # for each segment the other paths that leave its start; of a root, the other roots
    before: tuple["_Path", int] | None = None  # of a branch: its parent, and the parent's segment that ends where it leaves
    ends: list[float | None] = field(default_factory=list)  # V at the end of each segment; None: no reward below it

    @property
    def value(self) -> float | None:
        """V of all that this path leads to."""
        return self.ends[0]

    def values_at(self, segment: int) -> list[float]:
        """V of the other continuations that leave the start of a segment, those with a reward."""
        others = [path.value for path in self.leaving[segment]]
        if segment == 0 and self.before is not None:  # the parent's own continuation leaves there too
            parent, ending = self.before
            others.append(parent.ends[ending + 1])
        return [value for value in others if value is not None]

    def preceding(self, segment: int) -> tuple["_Path", int] | None:
        """The segment that ends where this one starts."""
        return (self, segment - 1) if segment else self.before


def _paths(tree: RolloutTree, rewards: dict[str, float]) -> dict[str, _Path]:
    """Every trajectory as a path, by id, with the values at its nodes."""
    children: dict[str, dict[int, list[Trajectory]]] = defaultdict(lambda: defaultdict(list))
    for t in tree.trajectories:
        if t.parent is not None:
            children[t.parent][t.fork.prefix_length].append(t)
    paths: dict[str, _Path] = {}
    for t in tree.trajectories:
        own = len(t.prefix_ids)
        nodes = sorted(children[t.id])
        paths[t.id] = _Path(t, [0, *(node - own for node in nodes), len(t.token_ids)], [[] for _ in range(len(nodes) + 1)])
    for t in tree.trajectories:
        for segment, node in enumerate(sorted(children[t.id]), start=1):
            branches = [paths[branch.id] for branch in children[t.id][node]]
            paths[t.id].leaving[segment] = branches
            for branch in branches:
                branch.before = (paths[t.id], segment - 1)
                branch.leaving[0] = [other for other in branches if other is not branch]
    roots = [paths[t.id] for t in tree.roots]
    for root in roots:
        root.leaving[0] = [other for other in roots if other is not root]
        _set_values(root, rewards)
    return paths


def _set_values(path: _Path, rewards: dict[str, float]) -> None:
    """V at the end of every segment of a path and of all that leave it, from the leaves up."""
    value = rewards.get(path.trajectory.id)
    ends = [value]
    for branches in reversed(path.leaving[1:]):
        for branch in branches:
            _set_values(branch, rewards)
        found = [v for v in (value, *(branch.value for branch in branches)) if v is not None]
        value = fmean(found) if found else None
        ends.append(value)
    path.ends = ends[::-1]


def _segments(path: _Path, divisor: float, path_weights: bool) -> tuple[Segment, ...]:
    found = []
    for segment, (start, end) in enumerate(zip(path.cuts[:-1], path.cuts[1:], strict=True)):
        base = _comparison(path, segment)
        weight = _weight(path, segment) if path_weights else 1.0
        advantage = 0.0 if base is None else weight * (path.ends[segment] - base) / divisor
        found.append(Segment(start=start, end=end, advantage=advantage))
    return tuple(found)


def _comparison(path: _Path, segment: int) -> float | None:
    """What the end of a segment is compared with; None when nothing else has a reward."""
    at: tuple[_Path, int] | None = (path, segment)
    while at is not None:
        if values := at[0].values_at(at[1]):
            return fmean(values)
        at = at[0].preceding(at[1])
    return None


def _weight(path: _Path, segment: int) -> float:
    """1 at the start of a root, divided at every node on the way by the continuations with a reward that leave it."""
    weight, at = 1.0, (path, segment)
    while (before := at[0].preceding(at[1])) is not None:
        weight /= 1 + len(at[0].values_at(at[1]))
        at = before
    return weight
