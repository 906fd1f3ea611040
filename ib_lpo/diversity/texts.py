"""How the words of samples differ: 1 - Self-BLEU and 1 - Self-ROUGE-L. Surface measures; pure.

BLEU is sacrebleu's. ROUGE-L is that of rouge-score, on its words (lower case, runs of a-z0-9, not stemmed), but for the longest common
subsequence: the library's table in pure Python takes minutes per question at 4,000 tokens, the bits of whole numbers do not. Texts without
a word of that kind are left out. Of more than `most` texts a subset is taken, the same places for the same number of texts. 1 - Self-BLEU
falls as references grow in number, so it compares sets of one size alone.
"""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from rouge_score.tokenizers import DefaultTokenizer
from sacrebleu.metrics import BLEU
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
from sacrebleu.tokenizers.tokenizer_re import TokenizerRegexp

from ib_lpo import seeds

MOST_BLEU, MOST_ROUGE = 16, 64
_ROUGE_WORDS = DefaultTokenizer(use_stemmer=False).tokenize


def self_bleu_distance(texts: Sequence[str], *, most: int = MOST_BLEU) -> float:
    """1 - mean sentence BLEU (effective order, exponential smoothing, tokeniser 13a) of each text with all the others as its references
    (Zhu et al. 2018); in [0, 1], 0: all alike. nan for fewer than two texts with words."""
    worded = [text for text in _subset(texts, most) if text.strip()]
    if len(worded) < 2:
        return math.nan
    bleu = BLEU(effective_order=True)
    scores = [bleu.sentence_score(text, worded[:i] + worded[i + 1 :]).score for i, text in enumerate(worded)]
    for memory in (Tokenizer13a, TokenizerRegexp):  # of texts, up to 65,536
        memory.__call__.cache_clear()
    return 1.0 - float(np.mean(scores)) / 100.0


def self_rouge_distance(texts: Sequence[str], *, most: int = MOST_ROUGE) -> float:
    """1 - mean ROUGE-L F-measure over all pairs of texts; in [0, 1], 0: all alike. nan for fewer than two texts with words."""
    words = [split for text in _subset(texts, most) if (split := _ROUGE_WORDS(text))]
    if len(words) < 2:
        return math.nan
    pairs = combinations([(len(of), of, _places(of)) for of in words], 2)
    similar = [2 * _common(places, size, other) / (size + length) for (size, _, places), (length, other, _) in pairs]
    return 1.0 - float(np.mean(similar))


def _places(words: list[str]) -> dict[str, int]:
    """Of every word a number whose bit i says that it is the i-th."""
    found: dict[str, int] = {}
    for i, word in enumerate(words):
        found[word] = found.get(word, 0) | 1 << i
    return found


def _common(places: dict[str, int], length: int, other: list[str]) -> int:
    """Length of the longest common subsequence: a row of its table in the bits of one number, 0 where the row rises (Hyyrö 2004)."""
    row = full = (1 << length) - 1
    for word in other:
        match = row & places.get(word, 0)
        row = ((row + match) | (row - match)) & full
    return length - row.bit_count()


def _subset(texts: Sequence[str], most: int) -> Sequence[str]:
    if len(texts) <= most:
        return texts
    return [texts[i] for i in sorted(seeds.generator("diversity", len(texts), most).choice(len(texts), most, replace=False))]
