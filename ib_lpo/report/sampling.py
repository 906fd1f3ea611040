"""Which rollout trees a report holds: as many as asked for, spread evenly over the steps, every kind of tree among them.

The choice is a function of the run on disk alone: the same run and number give the same trees. Only a few narrow columns of each
file are read for it, so a run whose trees do not fit into memory is no problem.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ib_lpo.run_directory import RunDirectory

_COLUMNS = ["tree", "verdict", "status", "kept", "failures"]
Kind = tuple[str, ...]  # what can be told apart at a glance: verdicts, statuses, failure modes and fates in a tree


@dataclass(frozen=True, slots=True)
class Sample:
    """The chosen trees: for each step the indices of trees in its file, both ascending; and how many there are in all."""

    chosen: dict[int, list[int]]
    total: int

    @property
    def size(self) -> int:
        return sum(map(len, self.chosen.values()))


def sample_trees(run: RunDirectory, most: int) -> Sample:
    """At most `most` trees of the run's recorded steps. Raises UserError when metrics or a file of trees cannot be read."""
    kinds = {step: tree_kinds(run, step) for step in run.recorded_steps}
    quotas = even_quotas([len(of_step) for of_step in kinds.values()], most)
    seen: Counter[Kind] = Counter()
    chosen = {step: _choose(kinds[step], quota, step, seen) for step, quota in zip(kinds, quotas, strict=True)}
    return Sample({step: trees for step, trees in chosen.items() if trees}, sum(map(len, kinds.values())))


def even_quotas(available: Sequence[int], most: int) -> list[int]:
    """How many to take of each: none more than there are, the sum min(most, all), and as even as that allows.

    When there are more places than `most`, those that give one are evenly spaced, the first and the last among them.
    """
    quotas = [0] * len(available)
    left = min(most, sum(available))
    while left:
        open_ = [index for index, quota in enumerate(quotas) if quota < available[index]]
        for index in _spaced(open_, left):
            quotas[index] += 1
        left -= min(left, len(open_))
    return quotas


def tree_kinds(run: RunDirectory, step: int) -> dict[int, Kind]:
    """The kind of each tree of `step` that has trajectories, by its index in the file."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    for row in run.rows(step, _COLUMNS):
        modes = [failure.mode for failure in row["failures"]]
        found[row["tree"]] |= {str(part) for part in (row["verdict"], row["status"], row["kept"], *modes)}
    return {tree: tuple(sorted(parts)) for tree, parts in found.items()}


def _choose(kinds: dict[int, Kind], quota: int, step: int, seen: Counter[Kind]) -> list[int]:
    """`quota` trees, each of the kind that was taken least so far in the run; within a kind in an order that only looks random."""
    pools: defaultdict[Kind, list[int]] = defaultdict(list)
    for tree in sorted(kinds, key=lambda tree: hashlib.sha256(f"{step}/{tree}".encode()).digest()):
        pools[kinds[tree]].append(tree)
    taken = []
    for _ in range(quota):
        kind = min((kind for kind, pool in pools.items() if pool), key=lambda kind: (seen[kind], kind))
        seen[kind] += 1
        taken.append(pools[kind].pop())
    return sorted(taken)


def _spaced(places: Sequence[int], count: int) -> list[int]:
    """`count` of `places`, evenly spaced from the first to the last; all when there are not more."""
    if count >= len(places):
        return list(places)
    if count == 1:
        return [places[-1]]
    return [places[round(index * (len(places) - 1) / (count - 1))] for index in range(count)]
