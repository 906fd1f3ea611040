import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.learner.step import Objective
from ib_lpo.manifest import validate
from ib_lpo.scoring.self_reward import reward_bonus

REWARDS = st.one_of(st.sampled_from([0.0, 0.5, 1.0, 1.0 - 2.0**-53]), st.floats(0.0, 1.0))
SCORES = st.floats(allow_nan=False)
MEMBERS = st.lists(st.tuples(SCORES, REWARDS), max_size=8)
WEIGHTS = st.floats(0.0, 0.5, exclude_max=True)
CLIPS = st.floats(1e-3, 1e3)


def bonus(members, weight=0.1, clip=3.0) -> np.ndarray:
    return reward_bonus([score for score, _ in members], [reward for _, reward in members], weight=weight, clip=clip)


@given(members=MEMBERS, weight=WEIGHTS, clip=CLIPS)
def test_no_wrong_answer_outranks_a_right_one(members, weight, clip):
    rewards = np.array([reward for _, reward in members])
    total = rewards + bonus(members, weight, clip)
    right, wrong = total[rewards == 1], total[rewards < 1]
    assert right.min(initial=math.inf) >= wrong.max(initial=-math.inf)


@given(members=st.lists(st.tuples(SCORES, st.sampled_from([0.0, 0.25, 0.999, 1.0])), max_size=8), weight=st.floats(0.0, 0.49), clip=CLIPS)
def test_a_right_answer_stays_strictly_ahead_where_floats_can_tell(members, weight, clip):
    rewards = np.array([reward for _, reward in members])
    total = rewards + bonus(members, weight, clip)
    assert total[rewards == 1].min(initial=math.inf) > total[rewards < 1].max(initial=-math.inf)


@given(members=MEMBERS, weight=WEIGHTS, clip=CLIPS)
def test_equals_the_formula_written_out(members, weight, clip):
    highest = 0.0
    for _, reward in members:
        if reward < 1 and reward > highest:
            highest = reward
    found = bonus(members, weight, clip)
    for (score, _), value in zip(members, found, strict=True):
        share = 1.0 if score > clip else -1.0 if score < -clip else score / clip
        assert value == pytest.approx(weight * (1 - highest) * share, abs=1e-12)
        assert abs(value) <= weight
    assert found.dtype == np.float64


@given(members=MEMBERS, other=SCORES)
def test_a_higher_score_is_never_worth_less(members, other):
    if members:
        (score, reward), *rest = members
        low, high = sorted((score, other))
        assert bonus([(low, reward), *rest])[0] <= bonus([(high, reward), *rest])[0]


def test_binary_rewards_get_the_whole_weight_and_graded_ones_what_the_gap_allows():
    assert bonus([(3.0, 1.0), (-9.0, 0.0), (1.5, 0.0)]).tolist() == pytest.approx([0.1, -0.1, 0.05])
    assert bonus([(3.0, 1.0), (math.inf, 0.8)]).tolist() == pytest.approx([0.02, 0.02])
    assert bonus([(3.0, 1.0), (-math.inf, 1.0)]).tolist() == pytest.approx([0.1, -0.1])
    assert bonus([]).shape == (0,)


@pytest.mark.parametrize(
    ("scores", "rewards", "weight", "message"),
    [
        ([0.0], [1.0, 0.0], 0.1, "1 scores for 2 rewards"),
        ([0.0], [1.5], 0.1, r"rewards \[1\.5\] leave \[0, 1\]"),
        ([0.0], [-0.5], 0.1, r"leave \[0, 1\]"),
        ([0.0], [math.nan], 0.1, r"leave \[0, 1\]"),
        ([math.nan], [1.0], 0.1, "not all numbers"),
        ([0.0], [1.0], 0.5, r"ib\.reward_weight"),
        ([0.0], [1.0], -0.1, r"ib\.reward_weight"),
    ],
)
def test_what_could_break_the_bound_is_refused(scores, rewards, weight, message):
    with pytest.raises(ValueError, match=message):
        reward_bonus(scores, rewards, weight=weight, clip=3.0)


@pytest.mark.parametrize(("mode", "in_the_loss"), [("none", 0.0), ("loss", 0.02), ("reward", 0.0), ("both", 0.02)])
def test_the_loss_takes_its_part_in_its_own_modes(mode, in_the_loss):
    ib = {"self_reward": mode, "self_reward_weight": 0.02}
    assert Objective.of(validate({"name": "t", "steps": 1, "model": {"path": "m"}, "ib": ib})).self_reward_weight == in_the_loss
