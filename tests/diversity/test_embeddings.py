"""Distances and Vendi scores, against pairs counted one by one and values worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ib_lpo.diversity.embeddings import pairwise_distance, vendi_score

ROWS = arrays(np.float32, st.tuples(st.integers(2, 6), st.just(4)), elements=st.floats(-2, 2, width=32)).filter(
    lambda rows: (np.linalg.norm(rows, axis=1) > 0.1).all()
)


@given(ROWS)
def test_pairwise_distance_is_the_mean_over_pairs(rows):
    found = []
    for i in range(len(rows)):
        for j in range(i):
            a, b = rows[i].astype(float).tolist(), rows[j].astype(float).tolist()
            dot = sum(x * y for x, y in zip(a, b, strict=True))
            found.append(1 - dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b)))
    assert pairwise_distance(rows) == pytest.approx(sum(found) / len(found), abs=1e-9)


def test_distances_written_out():
    assert pairwise_distance(np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])) == pytest.approx((1.0 + 2 * (1 - math.sqrt(0.5))) / 3)
    assert pairwise_distance(np.ones((3, 4))) == pytest.approx(0.0)
    assert math.isnan(pairwise_distance(np.ones((1, 4))))


@given(ROWS, st.floats(0.1, 10))
def test_vendi_lies_between_1_and_n_and_knows_angles_alone(rows, scale):
    score = vendi_score(rows)
    assert 1 - 1e-6 <= score <= len(rows) + 1e-6
    assert vendi_score(scale * rows[::-1].astype(float)) == pytest.approx(score, rel=1e-5)


@given(st.integers(1, 8))
def test_vendi_of_equal_samples_is_1_and_of_orthogonal_ones_n(n):
    assert vendi_score(np.tile([0.3, -2.0, 1.0], (n, 1))) == pytest.approx(1.0)
    assert vendi_score(2.5 * np.eye(8)[:n]) == pytest.approx(n)
    assert vendi_score(np.repeat(np.eye(8)[:n], 3, axis=0)) == pytest.approx(n)  # three of each are no more than one of each


def test_vendi_of_two_samples_written_out():
    cosine = 0.6  # K/2 has the eigenvalues (1 +- 0.6)/2: 0.8 and 0.2
    rows = np.array([[1.0, 0.0], [cosine, 0.8]])
    assert vendi_score(rows) == pytest.approx(0.8**-0.8 * 0.2**-0.2)
    assert vendi_score(rows) == pytest.approx(1.649385, abs=1e-6)


def test_a_row_without_a_direction_is_refused():
    for bad in (0.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="row 1 of the features has no direction"):
            pairwise_distance(np.array([[1.0, 1.0], [bad, bad]]))
