"""All measures of diversity of one set of samples, by name; docs/diversity.md has the formulas.

Invariant: a measure that is undefined for a set (distances of one sample, embeddings that were not made) is absent, never 0.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ib_lpo.diversity.answers import answer_entropy, given_answer_entropy
from ib_lpo.diversity.embeddings import pairwise_distance, vendi_score
from ib_lpo.diversity.ngrams import distinct_n, repeated_share
from ib_lpo.diversity.texts import self_bleu_distance, self_rouge_distance

Kind = Literal["surface", "content", "repetition"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """n responses to one question."""

    token_ids: Sequence[Sequence[int]]
    texts: Sequence[str]
    answers: Sequence[str | None]  # equal ones spelled alike; None: no answer
    features: np.ndarray | None  # float [n, F], embeddings of the responses


@dataclass(frozen=True, slots=True)
class Measure:
    """One number for a set of samples."""

    name: str
    title: str  # for tables and figures
    kind: Kind
    unit: str
    meaning: str
    of: Callable[[Samples], float]  # nan where undefined


def measure(
    token_ids: Sequence[Sequence[int]], texts: Sequence[str], answers: Sequence[str | None] | None, features: np.ndarray | None
) -> dict[str, float]:
    """The measures that are defined for these n samples, by name. `answers` None: nothing is known of them.

    Raises ValueError unless all other arguments have n of them.
    """
    counts = {len(of) for of in (token_ids, texts, answers, features) if of is not None}
    if len(counts) > 1:
        raise ValueError(f"samples disagree in number: {sorted(counts)}; give token ids, text, answer and features of each")
    samples = Samples(token_ids=[list(map(int, ids)) for ids in token_ids], texts=texts, answers=answers or (), features=features)
    values = {name: one.of(samples) for name, one in MEASURES.items()}
    return {name: value for name, value in values.items() if not math.isnan(value)}


def _repetition(samples: Samples) -> float:
    shares = [repeated_share(ids) for ids in samples.token_ids if len(ids)]
    return float(np.mean(shares)) if shares else math.nan


def _distance(samples: Samples) -> float:
    return math.nan if samples.features is None else pairwise_distance(samples.features)


def _vendi(samples: Samples) -> float:
    return math.nan if samples.features is None else vendi_score(samples.features)


_TABLE: tuple[tuple[str, str, Kind, str, str, Callable[[Samples], float]], ...] = (
    (
        *("distinct_1", "distinct-1", "surface", "share"),
        "different tokens / all tokens of the samples together; falls with their length",
        lambda s: distinct_n(s.token_ids, 1),
    ),
    (
        *("distinct_4", "distinct-4", "surface", "share"),
        "different 4-grams of tokens / all 4-grams of the samples together; falls with their length",
        lambda s: distinct_n(s.token_ids, 4),
    ),
    (
        *("self_bleu_distance", "1 - Self-BLEU", "surface", "share"),
        "1 - mean BLEU of each sample with all the others as its references",
        lambda s: self_bleu_distance(s.texts),
    ),
    (
        *("self_rouge_distance", "1 - Self-ROUGE-L", "surface", "share"),
        "1 - mean ROUGE-L F-measure over pairs of samples",
        lambda s: self_rouge_distance(s.texts),
    ),
    (
        *("distance", "embedding distance", "content", "1 - cosine"),
        "mean cosine distance of embeddings over pairs of samples",
        _distance,
    ),
    (
        *("vendi", "Vendi score", "content", "samples"),
        "effective number of different samples by their embeddings, from 1 to n",
        _vendi,
    ),
    (
        *("answer_entropy", "answer entropy", "content", "nats"),
        "entropy of the final answers; no answer is a class of its own",
        lambda s: answer_entropy(s.answers),
    ),
    (
        *("given_answer_entropy", "entropy of given answers", "content", "nats"),
        "entropy of the final answers among samples that give one",
        lambda s: given_answer_entropy(s.answers),
    ),
    (
        *("repetition", "4-gram repetition", "repetition", "share"),
        "share of a sample's tokens that complete a 4-gram completed before in it, mean over samples",
        _repetition,
    ),
)
MEASURES: dict[str, Measure] = {row[0]: Measure(*row) for row in _TABLE}
