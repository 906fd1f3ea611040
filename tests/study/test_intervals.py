"""Student's t against tables, and intervals against the formula written out."""

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.analysis.runs.intervals import _STUDENT
from ib_lpo.study.intervals import quantile, t_interval


@pytest.mark.parametrize(
    ("freedom", "within", "value"),
    [
        (1, 0.95, 12.706204736),
        (2, 0.95, 4.302652730),
        (3, 0.95, 3.182446305),
        (7, 0.95, 2.364624252),
        (30, 0.95, 2.042272456),
        (120, 0.95, 1.979930405),
        (1, 0.5, 1.0),
        (4, 0.99, 4.604094871),
    ],
)
def test_quantiles_are_those_of_tables(freedom, within, value):
    assert quantile(freedom, within) == pytest.approx(value, abs=2e-8 * max(1, value))


def test_quantiles_are_those_that_analyses_of_runs_use():
    assert [round(quantile(freedom), 3) for freedom in range(1, len(_STUDENT) + 1)] == list(_STUDENT)


def test_an_interval_written_out():
    """Gosset's sleep data, 1908: hours gained with the second drug over the first, ten patients."""
    hours = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    found = t_interval(hours)
    assert (found.mean, found.low, found.high) == pytest.approx((1.58, 0.7001142, 2.4598858), abs=1e-6)


thousandths = st.integers(-1000, 1000).map(lambda number: number / 1000)


@settings(deadline=None)
@given(st.lists(thousandths, min_size=3, max_size=9), thousandths)
def test_intervals_hold_their_mean_and_move_with_the_values(values, shift):
    found, moved = t_interval(values), t_interval([value + shift for value in values])
    assert found.mean == pytest.approx(statistics.fmean(values), abs=1e-12)
    if found.low is not None and moved.low is not None:
        assert found.low < found.mean < found.high
        assert moved.high - moved.low == pytest.approx(found.high - found.low, abs=1e-6)
        half = quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
        assert found.high - found.mean == pytest.approx(half, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("values", [[0.5], [0.1, 0.2], [0.25] * 8])
def test_too_few_values_and_values_all_alike_have_no_interval(values):
    found = t_interval(values)
    assert found.mean == pytest.approx(statistics.fmean(values)) and found.low is found.high is None


def test_nothing_has_no_mean():
    assert t_interval([]) is None
