"""N branches of either reward: what is dropped by S_IB alone is mostly wrong, and with it goes what moves probability off mistakes."""

from itertools import chain, zip_longest

from ib_lpo.scoring.config import FilterConfig
from ib_lpo.tree import Trajectory


def balance(ranked: list[Trajectory], keep: int, config: FilterConfig) -> list[float | None]:
    """Keep the best right one (highest reward of the set), the best other one, the second best right one, and so on up to `keep`.

    Where a set has fewer of one kind, the other kind fills up. With `keep` of at least 2 both stay where both are there.
    """
    highest = max((t.reward for t in ranked), default=None)
    right = [place for place, t in enumerate(ranked) if t.reward == highest]
    wrong = [place for place, t in enumerate(ranked) if t.reward != highest]
    in_turn = [place for place in chain.from_iterable(zip_longest(right, wrong)) if place is not None]
    kept = set(in_turn[:keep])
    return [1.0 if place in kept else None for place in range(len(ranked))]
