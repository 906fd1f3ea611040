"""N-grams of token ids: how many of them differ, and what a response repeats. Surface measures; pure."""

import math
from collections import Counter
from collections.abc import Sequence

from ib_lpo.scoring.repetition import repeated_tokens


def ngrams(responses: Sequence[Sequence[int]], n: int) -> Counter[tuple[int, ...]]:
    """How often each n-gram of token ids occurs in the responses together; n-grams do not cross responses."""
    return Counter(tuple(ids[i : i + n]) for ids in responses for i in range(len(ids) - n + 1))


def distinct_n(responses: Sequence[Sequence[int]], n: int) -> float:
    """distinct-n (Li et al. 2016): different n-grams / all n-grams of the responses together; 1: all differ, nan without any."""
    counts = ngrams(responses, n)
    return len(counts) / counts.total() if counts else math.nan


def distinct(counts: Counter, size: int) -> float:
    """Expected share of distinct n-grams in `size` of them drawn without replacement; dimensionless, 1: all differ.

    Longer texts repeat themselves more, so texts of different lengths are compared at one size (rarefaction, Hurlbert 1971). Raises
    ValueError unless 1 <= size <= all n-grams.
    """
    total = counts.total()
    if not 1 <= size <= total:
        raise ValueError(f"size={size}: must lie in 1..{total}, the number of n-grams")
    return sum(1.0 - _absent(total, count, size) for count in counts.values()) / size


def repeated_share(response: Sequence[int]) -> float:
    """Share of a response's tokens that complete a 4-gram completed before in it (scoring/repetition.py); nan of an empty response."""
    return float(repeated_tokens(response).mean()) if len(response) else math.nan


def _absent(total: int, count: int, size: int) -> float:
    """Probability that none of `count` among `total` is in a draw of `size`."""
    if size > total - count:
        return 0.0
    return math.exp(_log_choose(total - count, size) - _log_choose(total, size))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
