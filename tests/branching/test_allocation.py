"""Who gets the budget of branches, whatever the rewards and the costs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.branching.allocation import (
    Allocation,
    Standing,
    allocate,
    allocation_metrics,
    deal,
    reservation,
    standing,
    takes_forks,
)
from ib_lpo.branching.config import BranchingConfig
from ib_lpo.tree import Fork
from tests.scoring.trees import trajectory

REWARDS = st.sampled_from([0.0, 0.5, 1.0, None])
GROUPS = st.lists(st.lists(st.tuples(REWARDS, st.integers(3, 40)), min_size=1, max_size=4), max_size=5)
CONFIGS = st.builds(
    BranchingConfig,
    allocate=st.just("by_outcome"),
    branches=st.integers(1, 4),
    forks=st.integers(1, 3),
    most_forks=st.integers(1, 4),
    early_share=st.sampled_from([0.3, 0.5, 1.0]),
)


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        ([1.0, 1.0], Standing.RIGHT),
        ([1.0, None], Standing.RIGHT),
        ([0.0, 0.0], Standing.WRONG),
        ([0.5, 0.5], Standing.WRONG),
        ([0.0, None], Standing.WRONG),
        ([0.0, 1.0], Standing.MIXED),
        ([0.0, 0.5], Standing.MIXED),
        ([None, None], Standing.MIXED),
    ],
)
def test_a_question_stands_as_its_graded_roots_ended(rewards, expected):
    assert standing(rewards) is expected


def test_an_unverifiable_root_forks_only_where_nothing_is_known():
    assert [takes_forks(reward, [None, 0.0]) for reward in (None, 0.0)] == [False, True]
    assert takes_forks(None, [None, None]) and not takes_forks(1.0, [1.0, None])


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 30), max_size=4), max_size=6), st.integers(0, 200))
def test_dealing_goes_round_and_leaves_out_only_what_does_not_fit(offers, budget):
    dealt, left = deal(offers, budget), budget
    for turn in range(4):
        for root, costs in enumerate(offers):
            if turn < len(costs):
                fits = costs[turn] <= left
                assert (turn in dealt[root]) == fits
                left -= costs[turn] * fits
    assert left >= 0
    assert all(of == sorted(set(of)) for of in dealt)


def made(groups):
    roots = []
    for q, of in enumerate(groups):
        roots.append([trajectory(f"q{q}/r{r}", list(range(length))) for r, (_, length) in enumerate(of)])
        for root, (reward, _) in zip(roots[-1], of, strict=True):
            root.reward = reward
    return roots


def draw(root, most, share):
    """Distinct positions in a fixed order; the first ones do not depend on how many are asked for."""
    eligible = np.arange(1, root.token_ids.size - 1)
    eligible = eligible[: int(np.ceil(share * eligible.size))]
    order = np.random.default_rng(int(root.id.removeprefix("q").replace("/r", "9"))).permutation(eligible)[:most]
    return [Fork(position=int(t), entropy=1.0, candidates=1, prefix_length=int(t) + 1) for t in order]


@settings(deadline=None)
@given(GROUPS, CONFIGS)
def test_the_budget_is_that_of_uniform_and_is_never_exceeded(groups, config):
    roots = made(groups)
    dealt, allocation = allocate(roots, draw, config)
    everyone = [root for of in roots for root in of]
    uniform = sum(reservation(root, fork, config.branches) for root in everyone for fork in draw(root, config.forks, 1.0))
    made_of = [(root, fork) for root in everyone if root.id in dealt for fork in dealt[root.id].forks]
    assert allocation.budget == uniform
    assert allocation.reserved == sum(reservation(root, fork, config.branches) for root, fork in made_of) <= uniform
    assert allocation.mixed + allocation.wrong == sum(len(one.forks) for one in dealt.values())


@settings(deadline=None)
@given(GROUPS, CONFIGS)
def test_forks_go_where_something_can_be_told(groups, config):
    dealt, allocation = allocate(made(groups), draw, config)
    assert (dealt, allocation) == allocate(made(groups), draw, config)
    mixed = 0
    for q, of in enumerate(groups):
        known = {reward for reward, _ in of if reward is not None}
        for r, (reward, length) in enumerate(of):
            got = dealt.get(f"q{q}/r{r}")
            assert (got is None) == (known == {1.0} or (reward is None and bool(known)))
            if got is None:
                continue
            assert len(got.forks) <= got.found <= config.most_forks
            mixed += len(got.forks) * (len(known) != 1)
            if len(known) == 1:
                early = np.ceil(config.early_share * (length - 2))
                assert all(fork.position <= early for fork in got.forks)
    assert allocation.mixed == mixed


def test_what_questions_that_are_right_leave_moves_on_to_others():
    roots = made([[(1.0, 40), (1.0, 40)], [(0.0, 12), (1.0, 12)]])
    config = BranchingConfig(allocate="by_outcome", branches=2, most_forks=3)
    dealt, allocation = allocate(roots, draw, config)
    uniform = [fork for of in roots for root in of for fork in draw(root, 1, 1.0)]
    assert len(uniform) == 4 and allocation.mixed == sum(len(one.forks) for one in dealt.values()) > 2


def test_metrics_add_batches_up_and_say_nothing_without_any():
    one = Allocation(budget=100, reserved=80, mixed=3, wrong=1)
    assert allocation_metrics([one, Allocation(budget=0, reserved=0, mixed=0, wrong=0)]) == {
        "grow/budget_tokens": 100.0,
        "grow/reserved_tokens": 80.0,
        "grow/allocated_forks_mixed": 3.0,
        "grow/allocated_forks_wrong": 1.0,
        "grow/unspent_share": pytest.approx(0.2),
    }
    assert allocation_metrics([]) == {}
    assert "grow/unspent_share" not in allocation_metrics([Allocation(budget=0, reserved=0, mixed=0, wrong=0)])
