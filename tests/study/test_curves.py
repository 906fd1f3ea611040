"""Curves between their checks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.study.curves import end_of, mean_until, value_at


def curve(*points, **more):
    return [{"tokens": t, "seconds": 2 * t, "held_out/accuracy": a, **more} for t, a in points]


def test_straight_lines_between_checks():
    found = curve((0, 0.2), (100, 0.4), (300, 0.8))
    assert [value_at(found, at) for at in (0, 50, 100, 150, 300)] == pytest.approx([0.2, 0.3, 0.4, 0.5, 0.8])
    assert value_at(found, 300, axis="seconds") == pytest.approx(0.5)
    assert mean_until(found, 100) == pytest.approx(0.3)
    assert mean_until(found, 200) == pytest.approx((0.3 * 100 + 0.5 * 100) / 200)
    assert mean_until(found, 300) == pytest.approx((0.3 * 100 + 0.6 * 200) / 300)


def test_nothing_is_extrapolated():
    found = curve((10, 0.2), (100, 0.4))
    assert [value_at(found, at) for at in (9, 101)] == [None, None] and mean_until(found, 101) is None
    assert value_at([], 0) is None and mean_until([], 0) is None and end_of([]) == 0
    assert mean_until(found, 10) == 0.2


def test_a_metric_that_only_some_checks_have_goes_straight_between_those():
    found = curve((0, 0.2), (100, 0.4), (200, 0.6))
    found[0]["held_out/pass@4"], found[2]["held_out/pass@4"] = 0.5, 0.9
    assert value_at(found, 100, metric="held_out/pass@4") == pytest.approx(0.7)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1)), min_size=2, max_size=6), st.floats(0.05, 1))
def test_means_are_those_of_many_places(steps, share):
    tokens = np.cumsum([0, *(step for step, _ in steps[1:])])
    found = curve(*zip(tokens.tolist(), [value for _, value in steps], strict=True))
    end = share * end_of(found)
    places = np.linspace(0, end, 20001)
    values = np.interp(places, tokens, [value for _, value in steps])
    middle = (values[:-1] + values[1:]) / 2
    assert mean_until(found, end) == pytest.approx(middle.mean(), abs=1e-3)
