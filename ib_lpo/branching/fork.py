"""Where a trajectory forks (method.md section 1, step 3)."""

import math

import numpy as np

from ib_lpo.branching.config import BranchingConfig
from ib_lpo.branching.selectors import SELECTORS, ForkSite
from ib_lpo.tree import Fork


def draw_forks(
    entropies: np.ndarray,
    *,
    end: int,
    config: BranchingConfig,
    rng: np.random.Generator,
    most: int = 1,
    start: int = 0,
    left: int | None = None,
    openness: np.ndarray | None = None,
    share: float = 1.0,
) -> list[Fork]:
    """Draw up to `most` forks of a trajectory, in the order in which they are drawn; none when nothing is eligible.
    With a higher `most` the first ones are the same.

    entropies float32 [T], nats, of the tokens it owns; the first stands at position `start` of its response. Eligible
    are its own positions from 1 on (token 0 never) and before `end` (which leaves out the final-answer span and
    whatever must not be a prefix), of a branch those at least `min_distance` after `left`, the fork it began at; of
    these the first `share`, rounded up. Forks are drawn one after another, each uniformly from the candidates that
    `config.select` finds at least `min_distance` away from those before it. All selectors but `random` drop candidates
    below the floor tau, so that a near-deterministic trajectory does not branch at all.

    openness float64 [T], of the tokens it owns (openness.py); only `open_entropy` looks at it.
    """
    first = max(1, start) if left is None else max(start, left + config.min_distance)
    eligible = np.arange(first, min(end, start + entropies.size))
    eligible = eligible[: math.ceil(share * eligible.size)]
    of_eligible = entropies[eligible - start]
    how_open = None if openness is None else openness[eligible - start]
    free = np.ones(eligible.size, dtype=np.bool_)
    forks: list[Fork] = []
    while len(forks) < most and free.any():
        site = ForkSite(entropies=of_eligible, free=free, openness=how_open, config=config)
        candidates = np.sort(SELECTORS[config.select](site))
        if candidates.size == 0:
            break
        chosen = int(rng.choice(candidates))
        free = free & (np.abs(eligible - eligible[chosen]) >= config.min_distance)
        forks.append(_fork(int(eligible[chosen]), float(of_eligible[chosen]), candidates.size, config))
    return forks


def in_order(forks: list[Fork]) -> list[Fork]:
    """By their positions."""
    return sorted(forks, key=lambda fork: fork.position)


def _fork(position: int, entropy: float, candidates: int, config: BranchingConfig) -> Fork:
    return Fork(position=position, entropy=entropy, candidates=candidates, prefix_length=position + (config.pivot == "keep"))
