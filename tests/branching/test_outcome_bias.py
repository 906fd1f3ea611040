"""What branches that depend on outcomes do to means and gradients (method.md section 1.8), by enumerating all outcomes
of a tiny policy.

Two binary tokens, fp64: the first is 1 with probability s(a), the second with s(b[first]). Roots fork between them.
"""

from itertools import chain, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.branching.allocation import takes_forks

PARAMETERS = st.tuples(st.floats(-2, 2), st.floats(-2, 2), st.floats(-2, 2)).map(np.array)
REWARD = {(0, 0): 0.0, (0, 1): 1.0, (1, 0): 1.0, (1, 1): 0.0}
BRANCHES = 2
SOME = pytest.mark.parametrize("theta", np.random.default_rng(0).uniform(-2, 2, (8, 3)))


def probability(parameter, token):
    one = 1 / (1 + np.exp(-parameter))
    return one if token else 1 - one


def value(theta, first):
    """V of the prefix: the expected reward behind the first token."""
    return sum(probability(theta[1 + first], second) * REWARD[first, second] for second in (0, 1))


def score(theta, index, token):
    """Gradient of the log-prob of a token, which depends on one parameter. float64 [3]."""
    return np.eye(3)[index] * (token - probability(theta[index], 1))


def gradient_of_value(theta, first):
    return sum(probability(theta[1 + first], s) * score(theta, 1 + first, s) * REWARD[first, s] for s in (0, 1))


def gradient_of_j(theta):
    """J = sum over first tokens of their probability times V."""
    return sum(probability(theta[0], f) * (score(theta, 0, f) * value(theta, f) + gradient_of_value(theta, f)) for f in (0, 1))


def roots_of(theta, count):
    """(probability, the roots) of everything that `count` roots may be."""
    for roots in product(product((0, 1), (0, 1)), repeat=count):
        yield np.prod([probability(theta[0], f) * probability(theta[1 + f], s) for f, s in roots]), roots


def branches_of(theta, roots, forks):
    """(probability, per root the second tokens of its branches); `forks`: which roots fork."""
    for seconds in product((0, 1), repeat=BRANCHES * sum(forks)):
        rest = iter(seconds)
        families = [[next(rest) for _ in range(BRANCHES * fork)] for fork in forks]
        chances = [probability(theta[1 + f], s) for (f, _), family in zip(roots, families, strict=True) for s in family]
        yield np.prod(chances), families


def by_outcome(rewards):
    return [takes_forks(reward, rewards) for reward in rewards]


def uniform(rewards):
    return [True] * len(rewards)


def outcomes(theta, allocate, roots=2):
    """(probability, roots, rewards of roots, branches, rewards of branches) of all that one question may grow."""
    for chance, grown in roots_of(theta, roots):
        rewards = [REWARD[root] for root in grown]
        for of_branches, families in branches_of(theta, grown, allocate(rewards)):
            earned = [[REWARD[f, s] for s in family] for (f, _), family in zip(grown, families, strict=True)]
            yield chance * of_branches, grown, rewards, families, earned


@settings(deadline=None)
@given(st.floats(0, 1), st.integers(0, 6))
def test_a_mean_over_a_root_and_the_branches_it_got_for_being_wrong_is_too_high(p, n):
    """One root, right with probability p, and n branches off its prefix if and only if it is wrong."""
    expected = p  # right: no branch, the mean is 1
    for rewards in product((0, 1), repeat=n):
        chance = (1 - p) * np.prod([p if reward else 1 - p for reward in rewards])
        expected += chance * sum(rewards) / (n + 1)
    assert expected == pytest.approx(p + (1 - p) * n * p / (n + 1), abs=1e-12)


@SOME
def test_the_mean_over_all_that_a_question_grew_is_biased_by_outcome_alone(theta):
    j = sum(probability(theta[0], f) * value(theta, f) for f in (0, 1))
    means = {}
    for allocate in (uniform, by_outcome):
        grown = outcomes(theta, allocate)
        means[allocate] = sum(chance * np.mean([*rewards, *chain(*earned)]) for chance, _, rewards, _, earned in grown)
    assert means[uniform] == pytest.approx(j, abs=1e-12)
    assert means[by_outcome] > j + 1e-4


@settings(max_examples=20, deadline=None)
@given(PARAMETERS)
def test_the_gradient_of_branch_suffixes_is_unbiased_given_the_roots(theta):
    """With any baseline that the branch itself has no part in: here roots' mean, and the other branches of the fork."""
    for _, roots in roots_of(theta, 2):
        rewards = [REWARD[root] for root in roots]
        forks = by_outcome(rewards)
        found = {"roots": np.zeros(3), "siblings": np.zeros(3)}
        for chance, families in branches_of(theta, roots, forks):
            for (first, _), family in zip(roots, families, strict=True):
                for k, second in enumerate(family):
                    others = [REWARD[first, other] for i, other in enumerate(family) if i != k]
                    for name, baseline in (("roots", np.mean(rewards)), ("siblings", np.mean(others))):
                        found[name] += chance * score(theta, 1 + first, second) * (REWARD[first, second] - baseline)
        expected = sum(
            (BRANCHES * gradient_of_value(theta, first) for (first, _), fork in zip(roots, forks, strict=True) if fork),
            np.zeros(3),
        )
        for gradient in found.values():
            np.testing.assert_allclose(gradient, expected, atol=1e-12)


def gradient_of_roots(theta, allocate, advantages):
    """Expected gradient of the tokens of two roots, per root. `advantages(rewards, rewards of branches)`: of the
    roots."""
    total = np.zeros(3)
    for chance, roots, rewards, _, earned in outcomes(theta, allocate):
        for (first, second), advantage in zip(roots, advantages(rewards, earned), strict=True):
            total += chance * advantage * (score(theta, 0, first) + score(theta, 1 + first, second)) / 2
    return total


def leave_one_out(rewards):
    return [r - (sum(rewards) - r) / (len(rewards) - 1) for r in rewards]


def among_roots(rewards, earned):
    return leave_one_out(rewards)


def among_all(rewards, earned):
    return leave_one_out([*rewards, *chain(*earned)])[: len(rewards)]


@settings(max_examples=20, deadline=None)
@given(PARAMETERS)
def test_leave_one_out_among_roots_alone_is_unbiased_whoever_gets_branches(theta):
    for allocate in (uniform, by_outcome):
        np.testing.assert_allclose(gradient_of_roots(theta, allocate, among_roots), gradient_of_j(theta), atol=1e-12)


@SOME
def test_leave_one_out_among_roots_and_branches_is_biased_by_outcome_even_behind_the_fork(theta):
    """Under `uniform` the others say nothing of a root's tokens behind the fork; by outcome, how many they are does."""
    exact, even, uneven = gradient_of_j(theta), *(gradient_of_roots(theta, how, among_all) for how in (uniform, by_outcome))
    np.testing.assert_allclose(even[1:], exact[1:], atol=1e-12)
    assert abs(even[0] - exact[0]) > 1e-4, "before the fork a root's own branches share its token"
    assert np.abs(uneven[1:] - exact[1:]).max() > 1e-4
