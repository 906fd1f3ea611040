"""Openness along roots, by profiles and by past forks."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.branching.openness import LEAST, PastForks, Profile, openness_along
from ib_lpo.tree import Fork
from tests.scoring.trees import trajectory, tree

VALUES = st.lists(st.floats(-20, 20), min_size=1, max_size=9)


def root(length, reward):
    made = trajectory("q/r0", list(range(length)))
    made.reward = reward
    return made


def profile(values, length):
    at = np.unique(np.linspace(0, length, len(values)).round().astype(int))
    return Profile(at=tuple(at.tolist()), values=tuple(values[: at.size]))


@settings(deadline=None)
@given(VALUES, st.integers(1, 60), st.sampled_from([0.0, 0.5, 1.0]), st.booleans())
def test_openness_is_in_its_bounds_and_what_the_formula_says_at_the_measured_places(values, length, reward, pivot):
    measured = profile(values, length)
    found = openness_along(root(length, reward), measured, PastForks(), keep_pivot=pivot)
    assert found.shape == (length,) and (found <= 1).all()
    for at, value in zip(measured.at, measured.values, strict=True):
        if 0 <= at - pivot < length:
            gain = measured.values[-1] - value
            expected = max(LEAST, 1 - math.exp(-max(0.0, gain))) if reward == 1.0 else math.exp(value - max(measured.values))
            assert found[at - pivot] == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_wrong_root_is_open_before_its_mistake_and_a_right_one_before_its_insight():
    fall, rise = (Profile(at=(0, 10, 20, 40), values=values) for values in ((0.0, 0.1, -4.0, -5.0), (0.0, 0.1, 4.0, 5.0)))
    wrong = openness_along(root(40, 0.0), fall, PastForks(), keep_pivot=False)
    right = openness_along(root(40, 1.0), rise, PastForks(), keep_pivot=False)
    assert wrong[:11].min() > 0.89 and wrong[20:].max() < 0.02
    assert right[:11].min() > 0.99 and right[-1] < 0.25
    assert wrong[15] == pytest.approx(math.exp((0.1 - 4.0) / 2 - 0.1)), "interpolated"


def test_what_is_no_number_chooses_no_forks():
    with pytest.raises(ValueError, match=r"q/r0: .* not finite"):
        openness_along(root(9, 0.0), Profile(at=(0, 9), values=(0.0, math.nan)), PastForks(), keep_pivot=True)


def family(parent_reward, rewards, position, length=8):
    parent = root(length, parent_reward)
    branches = [trajectory(f"q/r0/b{k}", [5], prefix_ids=[1], parent="q/r0") for k in range(len(rewards))]
    for branch, reward in zip(branches, rewards, strict=True):
        branch.reward, branch.fork = reward, Fork(position=position, entropy=1.0, candidates=1, prefix_length=position)
    return tree(parent, *branches)


def test_past_forks_are_counted_by_quarter_and_parent():
    past = PastForks()
    np.testing.assert_array_equal(past.openness(True), [0.5] * 4)
    past.add([family(0.0, [0.0, 1.0], 0), family(0.0, [0.0], 1), family(0.0, [0.0], 1), family(1.0, [0.0], 7)])
    past.add([family(0.0, [None], 0), family(None, [0.0, 1.0], 0)])  # one continuation without another; a parent without a grade
    np.testing.assert_allclose(past.openness(False), [2 / 5, 1 / 2, 1 / 2, 1 / 2])
    np.testing.assert_allclose(past.openness(True), [1 / 2, 1 / 2, 1 / 2, 2 / 3])
    np.testing.assert_allclose(past.openness(None), [2 / 5, 1 / 2, 1 / 2, 2 / 3])


def test_without_a_profile_or_a_grade_a_root_is_as_open_as_past_forks_were():
    past = PastForks({"right": [[7, 1], [0, 0], [0, 0], [0, 8]], "wrong": [[0, 0]] * 4})
    found = openness_along(root(8, 1.0), None, past, keep_pivot=True)
    np.testing.assert_allclose(found, [0.8, 0.8, 0.5, 0.5, 0.5, 0.5, 0.1, 0.1])
    np.testing.assert_allclose(openness_along(root(8, 0.0), None, past, keep_pivot=True), [0.5] * 8)
    ungraded = openness_along(root(8, None), Profile(at=(0, 8), values=(0.0, 3.0)), past, keep_pivot=True)
    np.testing.assert_allclose(ungraded, found)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 1.0]), st.lists(st.sampled_from([0.0, 1.0, None])), st.integers(0, 7)),
        max_size=8,
    )
)
def test_a_checkpoint_holds_all_that_counts(families):
    past, half = PastForks(), PastForks()
    past.add([family(*one) for one in families])
    half.add([family(*one) for one in families[:3]])
    resumed = PastForks(json.loads(json.dumps(half.state())))
    resumed.add([family(*one) for one in families[3:]])
    assert resumed.state() == past.state()
    assert PastForks(None).state() == PastForks().state(), "of a checkpoint that knows none"
