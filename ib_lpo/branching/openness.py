"""How open the outcome still is along a graded root (method.md section 1, forks whose outcome is open). Pure.

A fork off a wrong root can only gain, off a right root only lose: what is open is what may still change. Two sources,
the better first:
* I(r;a) along the root, which the scoring model measures (`IbScore.profile`): of a wrong root high before the mistake
  and low behind it, of a right root low as long as the answer is not settled;
* the forks of the run so far: how many of them were open, by quarter of the response and by whether their parent was
  right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ib_lpo.branching.outcomes import QUARTERS, fork_outcomes, quarter, right
from ib_lpo.tree import RolloutTree, Trajectory

LEAST = 0.05
"""Openness of a right root where the answer is settled."""
_RIGHT = {True: "right", False: "wrong"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """I(r;a) along a response, nats per answer token; as in IbScore, the last at the end of its reasoning."""

    at: tuple[int, ...]  # numbers of response tokens, ascending, at least one
    values: tuple[float, ...]


class PastForks:
    """Counts of the forks of a run that were open or decided; part of what a checkpoint holds."""

    def __init__(self, counts: dict[str, list[list[int]]] | None = None):
        """`counts`: as `state` gives them."""
        self._counts = {name: [[0, 0] for _ in range(QUARTERS)] for name in _RIGHT.values()}
        for name, of in (counts or {}).items():
            self._counts[name] = [list(pair) for pair in of]

    def add(self, trees: Sequence[RolloutTree]) -> None:
        """Count the forks of graded trees; not those off parents without a reward or with nothing to compare."""
        for fork in (fork for tree in trees for fork in fork_outcomes(tree)):
            was_right = right(fork.parent)
            if was_right is not None and fork.decided is not None:
                self._counts[_RIGHT[was_right]][fork.quarter][fork.decided] += 1

    def openness(self, parent_right: bool | None) -> np.ndarray:
        """Share of forks that are open by quarter, the posterior mean under a uniform prior, Beta(1, 1). float64 [4].

        `parent_right`: whether the parent is right; None: not known, all forks count."""
        names = _RIGHT.values() if parent_right is None else [_RIGHT[parent_right]]
        still_open, decided = np.sum([self._counts[name] for name in names], axis=0).T
        return (still_open + 1) / (still_open + decided + 2)

    def state(self) -> dict[str, Any]:
        """For a checkpoint; JSON. By whether the parent was right, per quarter [open, decided]."""
        return {name: [list(pair) for pair in of] for name, of in self._counts.items()}


def openness_along(root: Trajectory, profile: Profile | None, past: PastForks, *, keep_pivot: bool) -> np.ndarray:
    """float64 [T], in (0, 1]: how open the outcome is at each token of a graded root, for branches that leave there.

    With a profile and a reward I(r;a) is interpolated to the end of the prefix that branches share, which holds the
    token itself with `keep_pivot`. A wrong root: exp(I - max I). A right one: 1 - exp(min(0, I - I at the end)), at
    least 0.05.

    Raises ValueError when the profile is not finite (a broken scoring model must not choose forks).
    """
    length, was_right = root.token_ids.size, right(root)
    if profile is None or was_right is None:
        by_quarter = past.openness(was_right)
        return by_quarter[[quarter(position, length) for position in range(length)]]
    values = np.asarray(profile.values, np.float64)
    if not np.isfinite(values).all():
        found = f"I(r;a) along it is not finite ({profile.values})"
        raise ValueError(f"{root.id}: {found}; check the scoring model's weights")
    along = np.interp(np.arange(length) + keep_pivot, profile.at, values)
    if was_right:
        return np.maximum(LEAST, -np.expm1(np.minimum(0.0, along - values[-1])))
    return np.exp(along - values.max())
