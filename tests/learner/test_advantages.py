"""Group-relative advantages: who counts in the mean, and who is absent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.learner.advantages import assign_advantages
from ib_lpo.learner.config import AdvantageConfig
from ib_lpo.tree import RolloutTree
from tests.learner.tiny import question, trajectory

CANDIDATES = st.lists(st.tuples(st.sampled_from([0.0, 1.0, 0.3, None]), st.booleans()), max_size=8)


def group(candidates) -> RolloutTree:
    rng = np.random.default_rng(0)
    members = [trajectory(rng, f"q/r{i}", reward=reward, kept=kept, tokens=2) for i, (reward, kept) in enumerate(candidates)]
    return RolloutTree(question=question(rng, "q"), trajectories=members)


def advantages(tree):
    return [t.advantage for t in tree.trajectories]


def test_pruned_candidates_count_in_the_mean_but_get_no_advantage():
    tree = group([(1.0, True), (0.0, True), (0.0, False), (None, True)])
    assign_advantages([tree], AdvantageConfig(baseline="all"))
    assert advantages(tree) == [pytest.approx(2 / 3), pytest.approx(-1 / 3), None, None]


def test_survivors_baseline_ignores_pruned_candidates():
    tree = group([(1.0, True), (0.0, True), (0.0, False), (None, True)])
    assign_advantages([tree], AdvantageConfig(baseline="survivors"))
    assert advantages(tree) == [0.5, -0.5, None, None]


def test_std_normalisation():
    tree = group([(1.0, True), (0.0, True), (0.0, True), (0.0, True)])
    assign_advantages([tree], AdvantageConfig(normalise_std=True))
    std = np.std([1, 0, 0, 0])
    assert advantages(tree) == pytest.approx([0.75 / std, *[-0.25 / std] * 3], rel=1e-5)


def test_counts():
    flat, empty, pruned = group([(1.0, True), (1.0, True)]), group([]), group([(1.0, False), (None, True)])
    mixed = group([(1.0, True), (0.0, True)])
    metrics = assign_advantages([flat, empty, pruned, mixed], AdvantageConfig())
    assert metrics == {
        "advantage/groups": 4.0,
        "advantage/empty_groups": 2.0,
        "advantage/flat_groups": 1.0,
        "advantage/mean_abs": 0.25,
    }


@given(candidates=CANDIDATES, std=st.booleans())
def test_survivor_advantages_sum_to_zero_and_keep_the_order_of_rewards(candidates, std):
    tree = group(candidates)
    assign_advantages([tree], AdvantageConfig(baseline="survivors", normalise_std=std))
    trained = [t for t in tree.trajectories if t.advantage is not None]
    assert [t.id for t in trained] == [t.id for t in tree.trajectories if t.kept and t.reward is not None]
    assert sum(t.advantage for t in trained) == pytest.approx(0, abs=1e-9)
    for a in trained:
        for b in trained:
            assert (a.reward < b.reward) == (a.advantage < b.advantage)


@given(reward=st.floats(0, 1), count=st.integers(1, 7))
def test_equal_rewards_give_exactly_zero(reward, count):
    tree = group([(reward, True)] * count)
    assert assign_advantages([tree], AdvantageConfig(normalise_std=True))["advantage/flat_groups"] == 1
    assert advantages(tree) == [0.0] * count
