"""Credit at forks: exact against the enumeration of a small policy, and against a reading of the definition on arbitrary trees."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.learner.advantages import assign_advantages
from ib_lpo.learner.config import AdvantageConfig
from ib_lpo.tree import Fork, RolloutTree
from tests.learner.enumeration import TablePolicy
from tests.learner.tiny import question, trajectory

RNG = np.random.default_rng(0)
QUESTION = question(RNG, "q")
TOLERANCE = 1e-9

# A shape gives, for every branch of a root, its parent ("" the root, or the name of a branch) and the fork's prefix length.
ONE_FORK = {"b0": ("", 1), "b1": ("", 1)}
TWO_FORKS = {"b0": ("", 1), "b1": ("", 2)}
TWO_LEVELS = {"b0": ("", 1), "b0/b0": ("b0", 2)}
LENGTHS = {"one fork": 2, "two forks": 3, "two levels": 3}  # of responses: as short as the forks allow
SHAPES = {"one fork": ONE_FORK, "two forks": TWO_FORKS, "two levels": TWO_LEVELS}


def families(policy, shape):
    """Every outcome of a root and its branches: {name: response}, probability."""
    outcomes = [({"": response}, p) for response, p in policy.continuations(())]
    for name, (parent, prefix) in shape.items():
        outcomes = [
            (found | {name: (*found[parent][:prefix], *suffix)}, p * q)
            for found, p in outcomes
            for suffix, q in policy.continuations(found[parent][:prefix])
        ]
    return outcomes


def grow(policy, shape, found):
    """The tree of several families."""
    members = []
    for r, family in enumerate(found):
        for name, response in family.items():
            parent, prefix = shape.get(name, (None, 0))
            id, parent_id = f"q/r{r}" + f"/{name}" * bool(name), None if parent is None else f"q/r{r}" + f"/{parent}" * bool(parent)
            members.append(member(id, response, prefix, policy.rewards[response], parent_id))
    return RolloutTree(question=QUESTION, trajectories=members)


def member(id, response, prefix, reward, parent, kept=True):
    made = trajectory(np.random.default_rng(0), id, reward=reward, kept=kept, parent=parent, prefix=response[:prefix], tokens=2)
    made.prefix_ids, made.token_ids = np.array(response[:prefix], np.int32), np.array(response[prefix:], np.int32)
    if parent is not None:
        made.fork = Fork(position=prefix, entropy=1.0, candidates=1, prefix_length=prefix)
    return made


def estimate(policy, tree):
    """sum_t A_t d log pi(o_t) over the tokens of a tree."""
    scores = (policy.score(tuple(t.prefix_ids.tolist()), tuple(t.token_ids.tolist()), advantages(t)) for t in tree.trajectories)
    return sum(scores)


def advantages(t):
    """Per own token, float64 (`token_advantages` is float32)."""
    return [a for s in t.segments for a in [s.advantage] * (s.end - s.start)] or [t.advantage] * len(t.token_ids)


def moments(policy, shape, **config):
    """Mean and total variance of the estimate over all outcomes of two roots."""
    mean, square = 0.0, 0.0
    for (first, p), (second, q) in product(families(policy, shape), repeat=2):
        tree = grow(policy, shape, (first, second))
        assign_advantages([tree], AdvantageConfig(**config), max_response_tokens=policy.length)
        found = estimate(policy, tree)
        mean, square = mean + p * q * found, square + p * q * found**2
    return mean, float((square - mean**2).sum())


@pytest.mark.parametrize("shape", SHAPES)
def test_with_path_weights_the_expected_gradient_is_that_of_the_expected_reward(shape):
    policy = TablePolicy(1, length=LENGTHS[shape])
    mean, _ = moments(policy, SHAPES[shape], kind="vine", path_weights=True)
    assert np.abs(mean / 2 - policy.gradient()).max() < TOLERANCE


@pytest.mark.parametrize(
    ("shape", "extra"),
    [("one fork", {1: 2}), ("two forks", {1: 1, 2: 1}), ("two levels", {1: 1, 2: 1})],
)
def test_without_them_every_branch_adds_the_gradient_of_the_value_of_its_prefix(shape, extra):
    policy = TablePolicy(2, length=LENGTHS[shape])
    mean, _ = moments(policy, SHAPES[shape], kind="vine")
    expected = policy.gradient() + sum(count * policy.gradient_from(position) for position, count in extra.items())
    assert np.abs(mean / 2 - expected).max() < TOLERANCE


def test_leave_one_out_of_roots_alone_is_unbiased_and_the_group_mean_is_too_small_by_its_share():
    policy = TablePolicy(3)
    assert np.abs(moments(policy, {}, kind="leave_one_out")[0] / 2 - policy.gradient()).max() < TOLERANCE
    assert np.abs(moments(policy, {}, kind="vine")[0] / 2 - policy.gradient()).max() < TOLERANCE
    assert np.abs(moments(policy, {}, kind="group_mean")[0] / 2 - policy.gradient() / 2).max() < TOLERANCE


@pytest.mark.parametrize("shape", SHAPES)
def test_branches_lower_the_variance_of_the_same_estimate(shape):
    """Two roots with branches and two roots alone, both unbiased for the gradient of the expected reward."""
    for seed in range(2):
        policy = TablePolicy(seed, length=LENGTHS[shape])
        with_branches = moments(policy, SHAPES[shape], kind="vine", path_weights=True)[1]
        assert with_branches < moments(policy, {}, kind="leave_one_out")[1]


# The definition, read straight off on arbitrary trees

REWARD = st.sampled_from([0.0, 1.0, 0.3, None])
TOKENS = 6


@st.composite
def trees(draw):
    """One to three roots; branches of roots and of branches, several at one fork, some unverifiable, some filtered."""
    members = []
    for r in range(draw(st.integers(1, 3))):
        family = [member(f"q/r{r}", (0,) * TOKENS, 0, draw(REWARD), None)]
        for b in range(draw(st.integers(0, 5))):
            parent = draw(st.sampled_from(family))
            prefix = draw(st.integers(parent.prefix_ids.size + 1, TOKENS - 1)) if parent.prefix_ids.size < TOKENS - 1 else None
            if prefix is not None:
                family.append(member(f"{parent.id}/b{b}", (0,) * TOKENS, prefix, draw(REWARD), parent.id))
        members += family
    for t in members:
        t.kept = t.reward is not None and draw(st.booleans())
    return RolloutTree(question=QUESTION, trajectories=members)


def value(tree, t, position):
    """V of what `t` becomes after `position` tokens of its response, by recursion over its next node."""
    nodes = sorted(n for b in tree.branches(t) if (n := b.fork.prefix_length) > position)
    if not nodes:
        return t.reward
    return mean([value(tree, t, nodes[0]), *(value(tree, b, nodes[0]) for b in tree.branches(t) if b.fork.prefix_length == nodes[0])])


def mean(values):
    found = [v for v in values if v is not None]
    return sum(found) / len(found) if found else None


def compared_with(tree, t, position):
    """Mean V of the others that leave where `t` stands after `position` tokens, or at the place before."""
    named = {other.id: other for other in tree.trajectories}
    start = t.prefix_ids.size
    if position > start:
        others = [value(tree, b, position) for b in tree.branches(t) if b.fork.prefix_length == position]
        earlier = max([start, *(n for b in tree.branches(t) if (n := b.fork.prefix_length) < position)])
        before = (t, earlier)
    elif t.parent is None:
        others, before = [value(tree, root, 0) for root in tree.roots if root is not t], None
    else:
        parent = named[t.parent]
        siblings = [b for b in tree.branches(parent) if b.fork.prefix_length == position and b is not t]
        others = [value(tree, parent, position), *(value(tree, b, position) for b in siblings)]
        before = (parent, max([parent.prefix_ids.size, *(n for b in tree.branches(parent) if (n := b.fork.prefix_length) < position)]))
    found = mean(others)
    return found if found is not None or before is None else compared_with(tree, *before)


def expected(tree, t):
    """The advantage of every own token."""
    nodes = {b.fork.prefix_length for b in tree.branches(t)}
    found, start = [], t.prefix_ids.size
    for position in range(start, TOKENS):
        last = max([start, *(n for n in nodes if n <= position)])
        base = compared_with(tree, t, last)
        found.append(0.0 if base is None else value(tree, t, last) - base)
    return found


@given(tree=trees())
def test_every_token_is_credited_as_the_definition_says(tree):
    assign_advantages([tree], AdvantageConfig(kind="vine"), max_response_tokens=TOKENS)
    for t in tree.trajectories:
        if t.kept:
            assert advantages(t) == pytest.approx(expected(tree, t), abs=1e-12)
            assert t.advantage == pytest.approx(np.mean(advantages(t)), abs=1e-12)
            covered = [token for s in t.segments for token in range(s.start, s.end)]
            assert covered == list(range(t.token_ids.size)) or not t.segments
        else:
            assert t.advantage is None and t.segments == ()


@given(tree=trees(), data=st.data(), shift=st.floats(-2, 2))
def test_neither_the_order_of_trajectories_nor_a_shift_of_all_rewards_changes_anything(tree, data, shift):
    def found(of):
        assign_advantages([of], AdvantageConfig(kind="vine"), max_response_tokens=TOKENS)
        return {t.id: (t.advantage, t.segments) for t in of.trajectories}

    before = found(tree)
    assert found(RolloutTree(question=QUESTION, trajectories=data.draw(st.permutations(tree.trajectories)))) == before
    for t in tree.trajectories:
        t.reward = None if t.reward is None else t.reward + shift
    after = found(tree)
    for id, (advantage, _) in before.items():
        assert after[id][0] == (None if advantage is None else pytest.approx(advantage, abs=1e-9))


@given(tree=trees())
def test_survivors_alone_are_valued_where_the_baseline_says_so(tree):
    alone = [t for t in tree.trajectories if t.kept]
    assign_advantages([tree], AdvantageConfig(kind="vine", baseline="survivors"), max_response_tokens=TOKENS)
    found = [(t.id, t.advantage) for t in alone]
    for t in tree.trajectories:
        t.reward = t.reward if t.kept else None
    assign_advantages([tree], AdvantageConfig(kind="vine"), max_response_tokens=TOKENS)
    assert found == [(t.id, t.advantage) for t in alone]


def test_equal_rewards_say_nothing_and_the_deviation_divides():
    family = [member("q/r0", (0,) * 4, 0, 0.1, None), member("q/r1", (0,) * 4, 0, 0.1, None), member("q/r0/b0", (0,) * 4, 2, 0.1, "q/r0")]
    tree = RolloutTree(question=QUESTION, trajectories=family)
    assign_advantages([tree], AdvantageConfig(kind="vine"), max_response_tokens=4)
    assert [t.advantage for t in family] == [0.0, 0.0, 0.0]
    family[0].reward = 1.0
    assign_advantages([tree], AdvantageConfig(kind="vine"), max_response_tokens=4)
    plain = [advantages(t) for t in family]
    assign_advantages([tree], AdvantageConfig(kind="vine", normalise_std=True), max_response_tokens=4)
    divisor = np.std([1.0, 0.1, 0.1]) + 1e-6
    assert [advantages(t) for t in family] == [pytest.approx(np.array(a) / divisor) for a in plain]
