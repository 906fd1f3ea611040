"""N-gram measures, against counting and against drawing."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.diversity.ngrams import distinct, distinct_n, ngrams, repeated_share

TEXTS = st.lists(st.lists(st.integers(0, 5), max_size=12), min_size=1, max_size=4)


@given(TEXTS, st.integers(1, 4))
def test_ngrams_do_not_cross_branches(branches, n):
    want = Counter()
    for ids in branches:
        for start in range(len(ids)):
            if start + n <= len(ids):
                want[tuple(ids[start : start + n])] += 1
    assert ngrams(branches, n) == want


@given(TEXTS, st.integers(1, 4))
def test_distinct_n_is_the_share_of_different_ones(branches, n):
    everything = [tuple(ids[i : i + n]) for ids in branches for i in range(len(ids)) if i + n <= len(ids)]
    if everything:
        assert distinct_n(branches, n) == len(set(everything)) / len(everything)
        assert distinct_n(branches, n) == pytest.approx(distinct(ngrams(branches, n), len(everything)))
    else:
        assert math.isnan(distinct_n(branches, n))


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


def test_a_response_repeats_the_4_grams_that_came_before_in_it():
    assert repeated_share([1, 2, 3, 4, 5, 6, 7, 8]) == 0.0
    assert repeated_share([1, 2, 3, 4, 1, 2, 3, 4, 5, 6]) == pytest.approx(1 / 10)  # 1 2 3 4 is complete again at its eighth token
    assert repeated_share([7] * 10) == pytest.approx(6 / 10)
    assert math.isnan(repeated_share([]))
