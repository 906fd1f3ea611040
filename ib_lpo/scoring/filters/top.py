"""The N branches with the highest S_IB (method.md section 2) [P]."""

from ib_lpo.scoring.config import FilterConfig
from ib_lpo.tree import Trajectory


def top(ranked: list[Trajectory], keep: int, config: FilterConfig) -> list[float | None]:
    """Weight 1 for the first `keep`, None for the others."""
    return [1.0 if place < keep else None for place in range(len(ranked))]
