"""Where a trajectory forks (method.md section 1, step 3)."""

import math
from collections.abc import Callable

import numpy as np

from ib_lpo.branching.config import BranchingConfig
from ib_lpo.tree import Fork


def _top_entropy(entropies: np.ndarray, free: np.ndarray, config: BranchingConfig) -> np.ndarray:
    """The most uncertain `top_fraction` of all, at least one, where free and above the floor; ties go to the earlier position."""
    count = max(1, math.ceil(config.top_fraction * entropies.size))
    top = np.argsort(-entropies, kind="stable")[:count]
    return top[free[top] & (entropies[top] >= config.floor)]


def _argmax(entropies: np.ndarray, free: np.ndarray, config: BranchingConfig) -> np.ndarray:
    """The single most uncertain free position, if it is above the floor."""
    best = np.argmax(np.where(free, entropies, -np.inf), keepdims=True)
    return best[entropies[best] >= config.floor]


def _random(entropies: np.ndarray, free: np.ndarray, config: BranchingConfig) -> np.ndarray:
    """Every free position: the control that does not know entropy."""
    return np.flatnonzero(free)


SELECTORS: dict[str, Callable[[np.ndarray, np.ndarray, BranchingConfig], np.ndarray]] = {
    "top_entropy": _top_entropy,
    "argmax": _argmax,
    "random": _random,
}
"""From the entropies of the eligible positions, float32 [E], and those far enough from forks already taken, bool [E], the indices of
the candidates."""


def select_forks(
    entropies: np.ndarray,
    *,
    end: int,
    config: BranchingConfig,
    rng: np.random.Generator,
    most: int = 1,
    start: int = 0,
    left: int | None = None,
) -> list[Fork]:
    """Draw up to `most` forks of a trajectory, in the order of their positions; none when nothing is eligible.

    entropies float32 [T], nats, of the tokens it owns; the first stands at position `start` of its response. Eligible are its own
    positions from 1 on (token 0 never) and before `end` (which leaves out the final-answer span and whatever must not be a prefix), of a
    branch those at least `min_distance` after `left`, the fork it began at. Forks are drawn one after another, each uniformly from the
    candidates that `config.select` finds at least `min_distance` away from those before it. `top_entropy` and `argmax` drop candidates
    below the floor tau, so that a near-deterministic trajectory does not branch at all.
    """
    first = max(1, start) if left is None else max(start, left + config.min_distance)
    eligible = np.arange(first, min(end, start + entropies.size))
    of_eligible = entropies[eligible - start]
    free = np.ones(eligible.size, dtype=np.bool_)
    forks: list[Fork] = []
    while len(forks) < most and free.any():
        candidates = np.sort(SELECTORS[config.select](of_eligible, free, config))
        if candidates.size == 0:
            break
        chosen = int(rng.choice(candidates))
        free &= np.abs(eligible - eligible[chosen]) >= config.min_distance
        forks.append(_fork(int(eligible[chosen]), float(of_eligible[chosen]), candidates.size, config))
    return sorted(forks, key=lambda fork: fork.position)


def _fork(position: int, entropy: float, candidates: int, config: BranchingConfig) -> Fork:
    return Fork(position=position, entropy=entropy, candidates=candidates, prefix_length=position + config.include_pivot)
