"""The better half of the branches of every reward: S_IB chooses among equals, and the share of right answers stays about as it was."""

from collections import Counter

from ib_lpo.scoring.config import FilterConfig
from ib_lpo.tree import Trajectory


def within(ranked: list[Trajectory], keep: int, config: FilterConfig) -> list[float | None]:
    """Of the n branches with one and the same reward, keep the ceil(n / 2) with the highest S_IB. `keep` has no part in it."""
    left = {reward: -(-count // 2) for reward, count in Counter(t.reward for t in ranked).items()}
    weights: list[float | None] = []
    for trajectory in ranked:
        left[trajectory.reward] -= 1
        weights.append(1.0 if left[trajectory.reward] >= 0 else None)
    return weights
