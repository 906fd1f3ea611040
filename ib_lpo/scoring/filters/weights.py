"""Every branch stays, weighted by its rank: S_IB says how much is learnt from a branch, not whether."""

import numpy as np

from ib_lpo.scoring.config import FilterConfig
from ib_lpo.tree import Trajectory


def weights(ranked: list[Trajectory], keep: int, config: FilterConfig) -> list[float | None]:
    """Linear in the rank, from 2 - w for the best to w = filter.lowest_weight for the last; the mean is 1. `keep` has no part in it."""
    if len(ranked) == 1:
        return [1.0]
    return np.linspace(2.0 - config.lowest_weight, config.lowest_weight, len(ranked)).tolist()
