"""Where a root forks (method.md section 1, step 3)."""

import math
from collections.abc import Callable

import numpy as np

from ib_lpo.branching.config import BranchingConfig
from ib_lpo.tree import Fork


def _top_entropy(entropies: np.ndarray, eligible: np.ndarray, top_fraction: float) -> np.ndarray:
    """The most uncertain `top_fraction` of the eligible positions, at least one; ties go to the earlier position."""
    count = max(1, math.ceil(top_fraction * eligible.size))
    return eligible[np.argsort(-entropies[eligible], kind="stable")[:count]]


def _argmax(entropies: np.ndarray, eligible: np.ndarray, top_fraction: float) -> np.ndarray:
    """The single most uncertain position."""
    return eligible[[np.argmax(entropies[eligible])]]


SELECTORS: dict[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]] = {"top_entropy": _top_entropy, "argmax": _argmax}


def select_fork(entropies: np.ndarray, *, end: int, config: BranchingConfig, rng: np.random.Generator) -> Fork | None:
    """Draw a fork position of a root, or None when nothing is eligible.

    entropies float32 [T], nats. Eligible are positions 1 <= t < `end` (token 0 never; `end` leaves out the final-answer span and
    whatever must not be a prefix); candidates are chosen among them by `config.select`, and those below the floor tau are dropped,
    so that a near-deterministic root does not branch at all. One candidate is drawn uniformly.
    """
    eligible = np.arange(1, min(end, entropies.size))
    if eligible.size == 0:
        return None
    candidates = SELECTORS[config.select](entropies, eligible, config.top_fraction)
    candidates = np.sort(candidates[entropies[candidates] >= config.floor])
    if candidates.size == 0:
        return None
    position = int(rng.choice(candidates))
    return Fork(
        position=position,
        entropy=float(entropies[position]),
        candidates=int(candidates.size),
        prefix_length=position + config.include_pivot,
    )
