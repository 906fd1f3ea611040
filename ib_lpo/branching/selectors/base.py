"""What a selector is told of a trajectory, and what it says."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ib_lpo.branching.config import BranchingConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkSite:
    """The E eligible positions of a trajectory, in order."""

    entropies: np.ndarray  # float32 [E], nats
    free: np.ndarray  # bool [E]: far enough from forks already taken
    openness: np.ndarray | None  # float64 [E], in (0, 1]: how open the outcome still is (openness.py); None: not known
    config: BranchingConfig


Selector = Callable[[ForkSite], np.ndarray]
"""The indices of the candidates among the eligible positions, int [C], in any order; none when nothing may fork."""


def top(weights: np.ndarray, site: ForkSite) -> np.ndarray:
    """The `top_fraction` of all positions with the highest weights, at least one, where free and of an entropy not
    below the floor; ties go to the earlier position. weights [E]."""
    count = max(1, int(np.ceil(site.config.top_fraction * weights.size)))
    best = np.argsort(-weights, kind="stable")[:count]
    return best[site.free[best] & (site.entropies[best] >= site.config.floor)]
