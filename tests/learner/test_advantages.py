"""Group-relative advantages: who counts in the comparison, who is absent, and why a group is silent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.learner.advantages import ADVANTAGES, assign_advantages
from ib_lpo.learner.config import AdvantageConfig
from ib_lpo.scoring.config import IbConfig
from ib_lpo.tree import RolloutTree
from tests.learner.tiny import question, trajectory
from tests.scoring.trees import scored

MAX_TOKENS = 10
KINDS = sorted(ADVANTAGES)
REWARDS = st.sampled_from([0.0, 1.0, 0.3, None])
CANDIDATES = st.lists(st.tuples(REWARDS, st.booleans()), max_size=8)


def grow(members) -> RolloutTree:
    """From (id, reward, kept) with ids such as r0/b1/b0, or (id, reward, kept, tokens)."""
    rng = np.random.default_rng(0)
    trajectories = []
    for id, reward, kept, *tokens in members:
        parent = f"q/{id.rpartition('/')[0]}" if "/" in id else None
        prefix = (1, 2) if parent else ()
        trajectories.append(trajectory(rng, f"q/{id}", reward=reward, kept=kept, parent=parent, prefix=prefix, tokens=(*tokens, 2)[0]))
    return RolloutTree(question=question(rng, "q"), trajectories=trajectories)


def group(candidates) -> RolloutTree:
    """Roots alone."""
    return grow([(f"r{i}", *candidate) for i, candidate in enumerate(candidates)])


def assign(tree, ib=None, **config):
    """The advantages in order, and the metrics without their prefix."""
    metrics = assign_advantages([tree], AdvantageConfig(**config), max_response_tokens=MAX_TOKENS, ib=ib)
    assert all(isinstance(value, float) for value in metrics.values())
    return [t.advantage for t in tree.trajectories], {name.removeprefix("advantage/"): value for name, value in metrics.items()}


PRUNED = [(1.0, True), (0.0, True), (0.0, False), (None, True)]


def test_pruned_candidates_count_in_the_mean_but_get_no_advantage():
    assert assign(group(PRUNED), baseline="all")[0] == [pytest.approx(2 / 3), pytest.approx(-1 / 3), None, None]


def test_survivors_baseline_ignores_pruned_candidates():
    assert assign(group(PRUNED), baseline="survivors")[0] == [0.5, -0.5, None, None]


def test_std_normalisation():
    advantages, _ = assign(group([(1.0, True), (0.0, True), (0.0, True), (0.0, True)]), normalise_std=True)
    std = np.std([1, 0, 0, 0])
    assert advantages == pytest.approx([0.75 / std, *[-0.25 / std] * 3], rel=1e-5)


def test_leave_one_out_compares_with_the_others():
    candidates = [(1.0, True), (0.0, True), (0.25, False), (None, True), (0.75, True)]
    everyone, _ = assign(group(candidates), kind="leave_one_out")
    assert everyone == pytest.approx([1 - 1 / 3, 0 - 2 / 3, None, None, 0.75 - 1.25 / 3])
    survivors, _ = assign(group(candidates), kind="leave_one_out", baseline="survivors")
    assert survivors == pytest.approx([1 - 0.75 / 2, 0 - 1.75 / 2, None, None, 0.75 - 0.5])


def test_leave_one_out_of_one_is_nothing():
    assert assign(group([(1.0, True)]), kind="leave_one_out")[0] == [0.0]


FAMILIES = [("r0", 1.0, True), ("r1", 0.0, True), ("r0/b0", 0.0, True), ("r0/b1", 1.0, False), ("r1/b0", 0.0, True), ("r1/b1", None, True)]


def test_tree_averages_over_question_and_family():
    """All: question mean 2/5; family r0 {1, 0, 1} 2/3; family r1 {0, 0} 0."""
    advantages, _ = assign(grow(FAMILIES), kind="tree")
    of_r0, of_r0_b0 = (1 - 2 / 5 + 1 - 2 / 3) / 2, (0 - 2 / 5 + 0 - 2 / 3) / 2
    assert advantages == pytest.approx([of_r0, (0 - 2 / 5 + 0) / 2, of_r0_b0, None, (0 - 2 / 5 + 0) / 2, None])


def test_tree_over_survivors():
    """Survivors: question mean 1/4; family r0 {1, 0} 1/2; family r1 {0, 0} 0."""
    advantages, _ = assign(grow(FAMILIES), kind="tree", baseline="survivors")
    assert advantages == pytest.approx([(3 / 4 + 1 / 2) / 2, -1 / 8, (-1 / 4 - 1 / 2) / 2, None, -1 / 8, None])


def test_tree_goes_down_to_branches_of_branches():
    members = [("r0", 0.0, True), ("r1", 1.0, True), ("r0/b0", 1.0, True), ("r0/b1", 0.0, True), ("r0/b0/b0", 0.0, True)]
    advantages, _ = assign(grow(members), kind="tree")
    question_, family, deeper = 2 / 5, 1 / 4, 1 / 2
    assert advantages == pytest.approx(
        [
            (0 - question_ + 0 - family) / 2,
            1 - question_,  # alone in its family
            (1 - question_ + 1 - family + 1 - deeper) / 3,
            (0 - question_ + 0 - family) / 2,
            (0 - question_ + 0 - family + 0 - deeper) / 3,
        ]
    )


def test_tree_counts_a_subtree_that_is_the_whole_question_once():
    advantages, _ = assign(grow([("r0", 0.0, True), ("r0/b0", 1.0, True), ("r0/b0/b0", 0.0, True)]), kind="tree")
    assert advantages == pytest.approx([-1 / 3, (2 / 3 + 1 / 2) / 2, (-1 / 3 - 1 / 2) / 2])


def test_tree_normalises_each_subtree_by_its_own_std():
    advantages, _ = assign(grow(FAMILIES), kind="tree", normalise_std=True)
    question_, family = np.std([1, 0, 0, 1, 0]), np.std([1, 0, 1])
    assert advantages[0] == pytest.approx(((1 - 2 / 5) / question_ + (1 - 2 / 3) / family) / 2, rel=1e-5)
    assert advantages[4] == pytest.approx(-2 / 5 / question_ / 2, rel=1e-5)


@pytest.mark.parametrize(
    "members", [[("r0", 1.0, True), ("r0/b0", 0.0, True), ("r0/b1", 0.0, True)], [(f"r{i}", i % 2, True) for i in range(5)]]
)
def test_tree_of_one_family_or_of_roots_alone_is_the_group_mean(members):
    assert assign(grow(members), kind="tree")[0] == assign(grow(members), kind="group_mean")[0]


@given(candidates=CANDIDATES, kind=st.sampled_from(KINDS), std=st.booleans())
def test_survivor_advantages_sum_to_zero_and_keep_the_order_of_rewards(candidates, kind, std):
    tree = group(candidates)
    assign(tree, kind=kind, baseline="survivors", normalise_std=std)
    trained = [t for t in tree.trajectories if t.advantage is not None]
    assert [t.id for t in trained] == [t.id for t in tree.trajectories if t.kept and t.reward is not None]
    assert sum(t.advantage for t in trained) == pytest.approx(0, abs=1e-9)
    for a in trained:
        for b in trained:
            assert (a.reward < b.reward) == (a.advantage < b.advantage)


@given(
    families=st.lists(st.tuples(REWARDS, st.booleans(), st.lists(st.tuples(REWARDS, st.booleans()), max_size=3)), max_size=3),
    std=st.booleans(),
    baseline=st.sampled_from(["all", "survivors"]),
)
def test_tree_equals_the_loop(families, std, baseline):
    members = []
    for r, (reward, kept, branches) in enumerate(families):
        members += [(f"r{r}", reward, kept), *((f"r{r}/b{b}", *branch) for b, branch in enumerate(branches))]
    advantages, _ = assign(grow(members), kind="tree", baseline=baseline, normalise_std=std)
    counted = {id: reward for id, reward, kept in members if reward is not None and (kept or baseline == "all")}
    for (id, reward, kept), advantage in zip(members, advantages, strict=True):
        if reward is None or not kept:
            assert advantage is None
            continue
        family = [value for other, value in counted.items() if other.partition("/")[0] == id.partition("/")[0]]
        groups = [rewards for rewards in ([*counted.values()], family) if len(rewards) > 1]
        if len(family) == len(counted):
            groups = groups[:1]
        terms = [(reward - np.mean(g)) / (np.std(g) + 1e-6 if std else 1) if len(set(g)) > 1 else 0.0 for g in groups]
        assert advantage == pytest.approx(np.mean(terms) if terms else 0.0, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@given(reward=st.floats(0, 1), count=st.integers(1, 7), std=st.booleans())
def test_equal_rewards_give_exactly_zero(kind, reward, count, std):
    advantages, metrics = assign(group([(reward, True)] * count), kind=kind, normalise_std=std)
    assert metrics["flat_groups"] == 1
    assert advantages == [0.0] * count


def test_assigning_again_forgets_what_was_assigned_before():
    tree = group([(1.0, True), (0.0, True)])
    assign(tree)
    tree.trajectories[0].kept = False
    assert assign(tree)[0] == [None, -0.5]


def test_overlong_answers_are_worth_less_and_keep_their_reward():
    """Response lengths 6, 8 and 10 of 10, a buffer of 4; the branch's two shared tokens count."""
    tree = grow([("r0", 1.0, True, 6), ("r1", 1.0, True, 10), ("r0/b0", 1.0, True, 6), ("r1/b0", None, True, 8)])
    advantages, metrics = assign(tree, overlong_buffer=4, overlong_penalty=0.6)
    shaped = [1.0, 0.4, 0.7]
    assert advantages == pytest.approx([*(np.array(shaped) - np.mean(shaped)), None])
    assert [t.reward for t in tree.trajectories] == [1.0, 1.0, 1.0, None]
    assert (metrics["overlong"], metrics["flat_groups"]) == (2.0, 0.0)


def scores(tree, *values) -> RolloutTree:
    for grown, value in zip(tree.trajectories, values, strict=True):
        grown.ib = scored(value)
    return tree


REWARDING = pytest.mark.parametrize("ib", [IbConfig(self_reward=mode, reward_weight=0.2, reward_clip=2.0) for mode in ("reward", "both")])


@REWARDING
def test_self_reward_is_compared_in_the_group_and_leaves_the_reward_alone(ib):
    """Rewards with their shares of S_IB: 1 - 0.1, 0 + 0.2, 0 - 0.2 (pruned), and nothing for the unverifiable one."""
    tree = scores(group(PRUNED), -1.0, 2.0, -50.0, 9.0)
    advantages, metrics = assign(tree, ib)
    shaped = [0.9, 0.2, -0.2]
    assert advantages == [pytest.approx(0.9 - np.mean(shaped)), pytest.approx(0.2 - np.mean(shaped)), None, None]
    assert [t.reward for t in tree.trajectories] == [1.0, 0.0, 0.0, None]
    assert metrics["self_reward"] == pytest.approx((0.1 + 0.2 + 0.2) / 3)


@REWARDING
def test_self_reward_counts_survivors_alone_where_the_baseline_does(ib):
    """The pruned 0.9 would leave a gap of 0.1."""
    tree = scores(group([(1.0, True), (0.5, True), (0.9, False)]), 2.0, -2.0, 0.0)
    advantages, metrics = assign(tree, ib, baseline="survivors")
    assert advantages == [pytest.approx(0.35), pytest.approx(-0.35), None]
    assert metrics["self_reward"] == pytest.approx(0.1)
    assert assign(tree, ib)[1]["self_reward"] == pytest.approx((0.02 + 0.02 + 0.0) / 3)


@REWARDING
def test_self_reward_comes_on_top_of_the_overlong_punishment(ib):
    tree = scores(grow([("r0", 1.0, True, 6), ("r1", 1.0, True, 10)]), 1.0, -1.0)
    shaped = np.array([1.1, 0.4 - 0.1])
    assert assign(tree, ib, overlong_buffer=4, overlong_penalty=0.6)[0] == pytest.approx(shaped - shaped.mean())


@REWARDING
def test_self_reward_gives_signal_where_all_are_right(ib):
    advantages, metrics = assign(scores(group([(1.0, True), (1.0, True)]), 2.0, -2.0), ib)
    assert advantages == pytest.approx([0.2, -0.2])
    assert (metrics["flat_groups"], metrics["all_right_groups"]) == (0.0, 0.0)


@pytest.mark.parametrize("kind", ["group_mean", "leave_one_out"])
@given(
    members=st.lists(st.tuples(st.sampled_from([0.0, 0.3, 1.0]), st.floats(-9.0, 9.0)), min_size=2, max_size=8),
    weight=st.floats(0.0, 0.49),
    std=st.booleans(),
)
def test_self_reward_never_puts_a_wrong_answer_above_a_right_one(kind, members, weight, std):
    tree = scores(group([(reward, True) for reward, _ in members]), *(value for _, value in members))
    assign(tree, IbConfig(self_reward="reward", reward_weight=weight), kind=kind, normalise_std=std)
    right, wrong = ([t.advantage for t in tree.trajectories if (t.reward == 1) == is_right] for is_right in (True, False))
    assert min(right, default=np.inf) > max(wrong, default=-np.inf)


@pytest.mark.parametrize("ib", [None, IbConfig(self_reward="loss"), IbConfig(self_reward="none")])
def test_without_self_reward_in_the_reward_scores_do_not_matter(ib):
    advantages, metrics = assign(scores(group(PRUNED), 5.0, -5.0, 1.0, 0.0), ib)
    assert advantages == assign(group(PRUNED))[0]
    assert "self_reward" not in metrics


@REWARDING
def test_self_reward_needs_the_scores_of_whom_it_compares(ib):
    tree = scores(group(PRUNED), 1.0, 1.0, 1.0, 1.0)
    tree.trajectories[3].ib = None  # unverifiable: compared with nobody
    assign(tree, ib)
    tree.trajectories[2].ib = None
    assign(tree, ib, baseline="survivors")
    with pytest.raises(ValueError, match=r"q/r2: has no S_IB .*ib\.self_reward="):
        assign(tree, ib)


@REWARDING
def test_self_reward_of_nobody_is_nothing(ib):
    assert assign(group([(None, True)]), ib)[1]["self_reward"] == 0.0


RIGHT, WRONG = (1.0, True), (0.0, True)
SILENT = {
    "unverifiable": ([(None, True), (None, False)], {}, {"empty_groups", "unverifiable_groups"}),
    "no trajectory": ([], {}, {"empty_groups", "unverifiable_groups"}),
    "none kept": ([(1.0, False), (None, True)], {}, {"empty_groups", "filtered_groups"}),
    "all right": ([RIGHT, RIGHT, (None, True)], {}, {"flat_groups", "all_right_groups"}),
    "all wrong": ([WRONG, WRONG], {}, {"flat_groups", "all_wrong_groups"}),
    "only equal ones kept": ([RIGHT, RIGHT, (0.0, False)], {"baseline": "survivors"}, {"flat_groups", "filtered_groups"}),
    "kept ones are the mean": ([(0.5, True), (0.0, False), (1.0, False)], {}, {"flat_groups", "filtered_groups"}),
    "pruned are counted": ([RIGHT, RIGHT, (0.0, False)], {}, set()),
    "mixed": ([RIGHT, WRONG], {}, set()),
}


@pytest.mark.parametrize("name", SILENT)
def test_silent_groups_are_counted_with_their_cause(name):
    candidates, config, expected = SILENT[name]
    _, metrics = assign(group(candidates), **config)
    counts = {key: value for key, value in metrics.items() if key.endswith("_groups")}
    assert counts == {key: float(key in expected) for key in counts}
    assert expected <= set(counts)


@given(candidates=CANDIDATES, kind=st.sampled_from(KINDS), baseline=st.sampled_from(["all", "survivors"]))
def test_every_group_without_signal_has_one_cause(candidates, kind, baseline):
    advantages, metrics = assign(group(candidates), kind=kind, baseline=baseline)
    silent = not any(advantages)
    assert metrics["empty_groups"] + metrics["flat_groups"] == silent
    assert sum(metrics[f"{cause}_groups"] for cause in ("unverifiable", "filtered", "all_right", "all_wrong")) == silent
    assert (metrics["mean_abs"] == 0) == silent


def test_metrics_sum_over_groups():
    trees = [group(candidates) for candidates, config, _ in SILENT.values() if not config]
    metrics = assign_advantages(trees, AdvantageConfig(), max_response_tokens=MAX_TOKENS)
    assert metrics == {
        "advantage/groups": 8.0,
        "advantage/empty_groups": 3.0,
        "advantage/flat_groups": 3.0,
        "advantage/unverifiable_groups": 2.0,
        "advantage/filtered_groups": 2.0,
        "advantage/all_right_groups": 1.0,
        "advantage/all_wrong_groups": 1.0,
        "advantage/overlong": 0.0,
        "advantage/mean_abs": pytest.approx((2 * 1 / 3 + 2 * 0.5) / 9),
    }


def test_the_filters_weight_multiplies_the_advantage():
    grown = grow([("r0", 1.0, True), ("r1", 0.0, True), ("r0/b0", 1.0, True)])
    before, _ = assign(grown)
    grown.trajectories[2].weight = 0.25
    assert assign(grown)[0] == [*before[:2], 0.25 * before[2]]
