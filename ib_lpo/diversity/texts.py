"""How the words of samples differ: 1 - Self-BLEU and 1 - Self-ROUGE-L. Surface measures; pure.

Words are those of sacrebleu (tokeniser 13a, which keeps case and cuts off punctuation) and of rouge-score (lower case, runs of a-z0-9, not
stemmed), and so are the scores; only the counting is done once for all samples here, where the libraries would do it again for every pair:
256 responses of 4,000 tokens take seconds. Texts without a word of that kind are left out. Of more than `most` texts a subset is taken, the
same places for the same number of texts. 1 - Self-BLEU falls as references grow in number, so it compares sets of one size alone.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from rouge_score.tokenizers import DefaultTokenizer
from sacrebleu.metrics import BLEU
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
from sacrebleu.tokenizers.tokenizer_re import TokenizerRegexp

from ib_lpo import seeds

MOST_TEXTS = 64
_ORDERS = 4  # BLEU counts n-grams of 1 to 4 words
_ROUGE_WORDS = DefaultTokenizer(use_stemmer=False).tokenize
_BLEU_WORDS = Tokenizer13a()


def self_bleu_distance(texts: Sequence[str], *, most: int = MOST_TEXTS) -> float:
    """1 - mean sentence BLEU (effective order, exponential smoothing) of each text with all the others as its references (Zhu et al.
    2018); in [0, 1], 0: all alike. nan for fewer than two texts with words."""
    words = [split for text in _subset(texts, most) if (split := _bleu_words(text))]
    if len(words) < 2:
        return math.nan
    pool = _Pool()
    counts = [_counts(of) for of in words]
    for i, of in enumerate(counts):
        pool.add(i, of)
    lengths = [len(of) for of in words]
    return 1.0 - float(np.mean([_bleu(i, of, pool, lengths) for i, of in enumerate(counts)])) / 100.0


def _bleu_words(text: str) -> list[str]:
    """Of one text; sacrebleu's memory of tokenised texts is emptied, it would hold 65,536 of them."""
    words = _BLEU_WORDS(text.rstrip()).split()
    Tokenizer13a.__call__.cache_clear()
    TokenizerRegexp.__call__.cache_clear()
    return words


@dataclass(slots=True)
class _Pool:
    """Of every n-gram its largest count in a text, whose text that is, and the largest count in any other text."""

    first: dict[tuple[str, ...], int] = field(default_factory=dict)
    owner: dict[tuple[str, ...], int] = field(default_factory=dict)
    second: dict[tuple[str, ...], int] = field(default_factory=dict)

    def add(self, text: int, counts: Counter) -> None:
        for ngram, count in counts.items():
            if count > self.first.get(ngram, 0):
                self.second[ngram] = self.first.get(ngram, 0)
                self.first[ngram], self.owner[ngram] = count, text
            else:
                self.second[ngram] = max(self.second[ngram], count)

    def in_others(self, text: int, ngram: tuple[str, ...]) -> int:
        return self.second[ngram] if self.owner[ngram] == text else self.first[ngram]


def _counts(words: list[str]) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for n in range(1, _ORDERS + 1) for i in range(len(words) - n + 1))


def _bleu(text: int, counts: Counter, pool: _Pool, lengths: list[int]) -> float:
    """Sentence BLEU, 0..100, of one text against all others."""
    correct, total = [0] * _ORDERS, [0] * _ORDERS
    for ngram, count in counts.items():
        correct[len(ngram) - 1] += min(count, pool.in_others(text, ngram))
        total[len(ngram) - 1] += count
    closest = min((abs(length - lengths[text]), length) for i, length in enumerate(lengths) if i != text)[1]
    return BLEU.compute_bleu(correct, total, lengths[text], closest, smooth_method="exp", effective_order=True).score


def self_rouge_distance(texts: Sequence[str], *, most: int = MOST_TEXTS) -> float:
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
