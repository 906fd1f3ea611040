"""Dividing a root's budget: nothing is lost, nothing invented, and siblings get alike."""

from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.branching.budget import divide, forks_within
from ib_lpo.branching.config import BranchingConfig

SIZE = st.integers(1, 5)


@given(st.integers(0, 200), SIZE, SIZE)
def test_the_quota_is_divided_without_remainder(quota, forks, per_fork):
    made = forks_within(quota, forks=forks, per_fork=per_fork)
    counts, quotas = divide(quota, forks=made, per_fork=per_fork)
    assert len(counts) == made <= forks
    assert sum(counts) + sum(quotas) == quota
    assert len(quotas) == sum(counts)
    assert all(count == per_fork for count in counts[:-1]) and all(1 <= count <= per_fork for count in counts)
    assert max(quotas, default=0) - min(quotas, default=0) <= per_fork
    assert sum(q % per_fork != 0 for q in quotas) <= 1, "whole sets of siblings, but for the last"


def test_what_is_left_goes_on_in_whole_forks():
    assert divide(3, forks=1, per_fork=3) == ([3], [0, 0, 0])
    assert divide(7, forks=1, per_fork=3) == ([3], [3, 1, 0])
    assert divide(12, forks=1, per_fork=3) == ([3], [3, 3, 3])
    assert divide(4, forks=2, per_fork=3) == ([3, 1], [0, 0, 0, 0])
    assert divide(14, forks=2, per_fork=3) == ([3, 3], [3, 2, 0, 3, 0, 0]), "forks take turns"
    assert divide(2, forks=1, per_fork=3) == ([2], [0, 0])
    assert divide(3, forks=1, per_fork=1) == ([1], [2])  # a chain
    assert divide(9, forks=0, per_fork=3) == divide(0, forks=0, per_fork=0) == ([], [])


def grown(config, quota, level=0) -> int:
    """Branches below a trajectory when every one finds all its forks."""
    if level == config.levels:
        return 0
    counts, quotas = divide(quota, forks=forks_within(quota, forks=config.forks, per_fork=config.per_fork), per_fork=config.per_fork)
    return sum(counts) + sum(grown(config, q, level + 1) for q in quotas)


@given(st.integers(0, 4), SIZE, st.integers(1, 3), st.none() | st.integers(1, 300))
def test_a_tree_that_finds_its_forks_uses_its_budget_up(branches, forks, depth, budget):
    config = BranchingConfig(branches=branches, forks=forks, depth=depth, budget=budget)
    assert grown(config, config.most_branches) == config.most_branches
    assert config.most_branches <= (budget or config.most_branches)
    assert budget is not None or config.most_branches == sum((forks * branches) ** level for level in range(1, depth + 1))


@given(st.integers(0, 6), st.none() | st.integers(1, 9))
def test_a_chain_is_as_deep_as_it_has_branches(branches, budget):
    config = BranchingConfig(branches=branches, mode="chained", budget=budget)
    assert grown(config, config.most_branches) == config.most_branches == min(branches, budget or branches)
