"""Loops: stretches of a response that repeat it, and how little they add.

Two tests must agree. Token by token, the stretch completes 4-grams that were completed before; and its text, alone, compresses well, that
is, it goes round within itself or is long. The second keeps an equation or a sentence that is merely restated from being called a loop.
"""

import zlib
from collections.abc import Sequence

import numpy as np

from ib_lpo.scoring.repetition import NGRAM, repeated_tokens


def repeating_stretches(response_ids: Sequence[int]) -> list[tuple[int, int]]:
    """The stretches [start, end) of tokens that complete an earlier 4-gram, in order.

    One new token (a counter in a loop) spoils the NGRAM 4-grams it is part of, so a gap of that many tokens is bridged, unless it is longer
    than the run before it: of a stretch, at least half repeats. The first pass of a loop repeats nothing and is not in its stretch.
    """
    edges = np.flatnonzero(np.diff(repeated_tokens(response_ids), prepend=False, append=False))
    stretches: list[tuple[int, int]] = []
    run = 0  # tokens of the run before the gap
    for start, end in edges.reshape(-1, 2).tolist():
        if stretches and start - stretches[-1][1] <= min(NGRAM, run):
            stretches[-1] = (stretches[-1][0], end)
        else:
            stretches.append((start, end))
        run = end - start
    return stretches


def compressed_share(text: str) -> float:
    """Bytes after deflate (zlib, level 9, without its header and checksum) / bytes of UTF-8 before; 0 for no text.

    Measured on solutions of GSM8K, median: 0.85 at 32 tokens, 0.58 at 128, 0.43 at 1,024; of a sentence going round, 0.44 at 32 tokens when
    the stretch holds two rounds, 0.32 when four. Header and checksum would add 0.05 at 32 tokens.
    """
    written = text.encode()
    if not written:
        return 0.0
    return len(zlib.compress(written, 9, wbits=-zlib.MAX_WBITS)) / len(written)
