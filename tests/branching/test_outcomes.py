"""Decided and open forks, and how often branches are right, against counts written out."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.branching.outcomes import fork_outcomes, outcome_metrics, quarter
from ib_lpo.tree import Fork, RolloutTree
from tests.branching.engine import grow, plan
from tests.scoring.trees import trajectory, tree

REWARDS = st.sampled_from([0.0, 0.5, 1.0, None])
SHAPE = {"depth": 2, "forks": 2, "branches": 2, "budget": 8, "floor": 0.0, "top_fraction": 1.0}


def graded(seed: int, reward) -> list[RolloutTree]:
    trees, _ = grow(replace(plan(**SHAPE), seed_path=(seed,)), 3, lambda n: 0)
    for t in (t for grown in trees for t in grown.trajectories):
        t.reward = reward()
    return trees


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.data())
def test_shares_are_those_of_a_count_by_hand(seed, data):
    trees = graded(seed, lambda: data.draw(REWARDS))
    decided, by_quarter, below = [], {1: [], 2: [], 3: [], 4: []}, {True: [], False: []}
    for tree_ in trees:
        for parent in tree_.trajectories:
            for position in {b.fork.position for b in tree_.branches(parent)}:
                leaving = [b.reward for b in tree_.branches(parent) if b.fork.position == position]
                rewards = [r for r in (parent.reward, *leaving) if r is not None]
                if len(rewards) >= 2:
                    decided.append(max(rewards) == min(rewards))
                    by_quarter[1 + int(position / len(parent.response_ids) * 4)].append(max(rewards) != min(rewards))
        for t in tree_.trajectories:
            root = next(r for r in tree_.roots if t.id.startswith(r.id))
            if t.parent and t.reward is not None and root.reward is not None:
                below[root.reward == 1].append(t.reward == 1)
    metrics = outcome_metrics(trees)
    means = {"decided_forks": decided} | {f"open_forks_q{q}": of for q, of in by_quarter.items()}
    means |= {"branch_right_given_root_wrong": below[False], "branch_right_given_root_right": below[True]}
    assert metrics == {f"grow/{name}": pytest.approx(np.mean(of)) for name, of in means.items() if of}


def branch(name, reward, position=1, parent="q/r0"):
    made = trajectory(name, [5], prefix_ids=[1, 1], parent=parent)
    made.reward, made.fork = reward, Fork(position=position, entropy=1.0, candidates=1, prefix_length=2)
    return made


def test_the_rest_of_the_parent_is_a_continuation():
    root = trajectory("q/r0", [1, 2, 3, 4])
    root.reward = 1.0
    one = tree(root, branch("q/r0/b0", 1.0), branch("q/r0/b1", 1.0), branch("q/r0/b2", 0.0, position=3))
    assert [(f.position, f.decided, f.quarter, len(f.branches)) for f in fork_outcomes(one)] == [
        (1, True, 1, 2),
        (3, False, 3, 1),
    ]
    root.reward = 0.0
    assert [f.decided for f in fork_outcomes(one)] == [False, True]


def test_what_has_no_grade_decides_nothing():
    root = trajectory("q/r0", [1, 2, 3, 4])
    one = tree(root, branch("q/r0/b0", 1.0), branch("q/r0/b1", None))
    assert [f.decided for f in fork_outcomes(one)] == [None]
    assert outcome_metrics([one]) == outcome_metrics([]) == {}


@settings(deadline=None)
@given(st.integers(1, 40), st.data())
def test_quarters_split_a_response_evenly(length, data):
    position = data.draw(st.integers(0, length - 1))
    assert quarter(position, length) / 4 <= position / length < (quarter(position, length) + 1) / 4
