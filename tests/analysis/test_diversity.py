"""Diversity of a fork's branches, against counting and against drawing."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.analysis.diversity import answer_entropy, distinct, ngrams, pairwise_distance

TEXTS = st.lists(st.lists(st.integers(0, 5), max_size=12), min_size=1, max_size=4)


@given(TEXTS, st.integers(1, 4))
def test_ngrams_do_not_cross_branches(branches, n):
    want = Counter()
    for ids in branches:
        for start in range(len(ids)):
            if start + n <= len(ids):
                want[tuple(ids[start : start + n])] += 1
    assert ngrams(branches, n) == want


@given(st.lists(st.integers(1, 6), min_size=1, max_size=8))
def test_distinct_at_full_size_is_the_plain_ratio(counts):
    total = sum(counts)
    assert distinct(Counter(dict(enumerate(counts))), total) == pytest.approx(len(counts) / total)
    assert distinct(Counter(dict(enumerate(counts))), 1) == pytest.approx(1.0)


def test_distinct_at_a_smaller_size_is_the_mean_over_draws():
    counts = Counter({"a": 5, "b": 3, "c": 1, "d": 1})
    pool = np.array(list(counts.elements()))
    rng = np.random.default_rng(0)
    drawn = [len(set(rng.choice(pool, size=4, replace=False))) / 4 for _ in range(4000)]
    assert distinct(counts, 4) == pytest.approx(np.mean(drawn), abs=0.01)


def test_longer_texts_are_not_less_diverse_for_being_longer():
    rng = np.random.default_rng(1)
    short, long = (ngrams([rng.integers(0, 6, size).tolist()], 2) for size in (60, 600))
    size = sum(short.values())
    assert len(long) / sum(long.values()) < 0.5 * len(short) / size  # the plain ratio says so
    assert distinct(long, size) == pytest.approx(distinct(short, size), rel=0.15)


def test_a_size_beyond_the_text_is_refused():
    with pytest.raises(ValueError, match=r"must lie in 1\.\.3"):
        distinct(Counter({"a": 3}), 4)


def test_pairwise_distance_is_the_mean_over_pairs():
    rows = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    assert pairwise_distance(rows) == pytest.approx((1.0 + 2 * (1 - math.sqrt(0.5))) / 3)
    assert pairwise_distance(np.ones((3, 4))) == pytest.approx(0.0)


def test_answer_entropy_counts_no_answer_as_one():
    assert answer_entropy(["7", "7", "7"]) == 0.0
    assert answer_entropy(["7", None]) == pytest.approx(math.log(2))
    assert answer_entropy(["1", "2", None, "1"]) == pytest.approx(1.5 * math.log(2))
