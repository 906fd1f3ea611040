"""How different the branches of a fork are; pure. Surface measures (n-grams) and measures of content (embeddings, answers)."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np


def ngrams(branches: Sequence[Sequence[int]], n: int) -> Counter[tuple[int, ...]]:
    """How often each n-gram of token ids occurs in the branches together; n-grams do not cross branches."""
    return Counter(tuple(ids[i : i + n]) for ids in branches for i in range(len(ids) - n + 1))


def distinct(counts: Counter, size: int) -> float:
    """Expected share of distinct n-grams in `size` of them drawn without replacement; dimensionless, 1: all differ.

    Longer texts repeat themselves more, so texts of different lengths are compared at one size (rarefaction, Hurlbert 1971). Raises
    ValueError unless 1 <= size <= all n-grams.
    """
    total = sum(counts.values())
    if not 1 <= size <= total:
        raise ValueError(f"size={size}: must lie in 1..{total}, the number of n-grams")
    return sum(1.0 - _absent(total, count, size) for count in counts.values()) / size


def _absent(total: int, count: int, size: int) -> float:
    """Probability that none of `count` among `total` is in a draw of `size`."""
    if size > total - count:
        return 0.0
    choose = (_log_choose(total - count, size), _log_choose(total, size))
    return math.exp(choose[0] - choose[1])


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def pairwise_distance(features: np.ndarray) -> float:
    """Mean cosine distance over all pairs of rows of features [K, F], K >= 2; in [0, 2]."""
    rows = features / np.linalg.norm(features, axis=1, keepdims=True)
    similar = rows @ rows.T
    return float(1.0 - similar[np.triu_indices(len(rows), 1)].mean())


def answer_entropy(answers: Sequence[str | None]) -> float:
    """Entropy of the final answers, nats; None, no answer, is one of them."""
    shares = np.array(list(Counter(answers).values())) / len(answers)
    return float(-(shares * np.log(shares)).sum()) + 0.0
