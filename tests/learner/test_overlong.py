"""The soft overlong punishment: flat, then a straight line down to the length limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.learner.overlong import overlong_reward


@pytest.mark.parametrize(("length", "expected"), [(0, 0.0), (80, 0.0), (81, -0.025), (90, -0.25), (100, -0.5), (105, -0.5)])
def test_values(length, expected):
    assert overlong_reward(length, max_response_tokens=100, buffer=20, penalty=0.5) == pytest.approx(expected)


def test_off_without_a_buffer():
    assert overlong_reward(100, max_response_tokens=100, buffer=0, penalty=1.0) == 0.0


@given(limit=st.integers(1, 500), data=st.data())
def test_falls_evenly_from_nothing_to_the_penalty(limit, data):
    buffer = data.draw(st.integers(1, limit))
    rewards = [overlong_reward(n, max_response_tokens=limit, buffer=buffer, penalty=2.0) for n in range(limit + 1)]
    assert rewards[: limit - buffer + 1] == [0.0] * (limit - buffer + 1)
    assert rewards[-1] == -2.0
    falls = [a - b for a, b in zip(rewards[limit - buffer :], rewards[limit - buffer + 1 :], strict=False)]
    assert falls == pytest.approx([2.0 / buffer] * buffer)
