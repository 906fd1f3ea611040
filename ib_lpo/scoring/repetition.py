"""Which tokens of a response only repeat it."""

from collections.abc import Sequence

import numpy as np

NGRAM = 4


def repeated_tokens(response_ids: Sequence[int]) -> np.ndarray:
    """bool [T]: the token completes a 4-gram that was completed before in the same response (method.md section 2)."""
    seen: set[tuple[int, ...]] = set()
    repeated = np.zeros(len(response_ids), dtype=np.bool_)
    ids = [int(token) for token in response_ids]
    for end in range(NGRAM, len(ids) + 1):
        ngram = tuple(ids[end - NGRAM : end])
        repeated[end - 1] = ngram in seen
        seen.add(ngram)
    return repeated
