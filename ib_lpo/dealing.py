"""Work dealt out about equally."""

from collections.abc import Sequence


def longest_first(costs: Sequence[int], count: int) -> list[list[int]]:
    """Indices of `costs` in `count` hands: each item, longest first, goes to the hand that is least loaded."""
    hands: list[list[int]] = [[] for _ in range(count)]
    loads = [0] * count
    for item in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        lightest = loads.index(min(loads))
        hands[lightest].append(item)
        loads[lightest] += costs[item]
    return hands
