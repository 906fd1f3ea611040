"""Two real ZeRO-3 ranks: parameter groups, rates, frozen parameters, and gradients that are not finite."""

import math

import pytest
import torch

from tests.learner import zero_ranks
from tests.learner.zero_ranks import CONFIG

pytestmark = pytest.mark.slow


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(("dtype", "poison"), [(torch.float32, math.nan), (torch.float32, math.inf), (torch.bfloat16, math.nan)])
def test_a_gradient_that_is_not_finite_on_one_rank_is_applied_on_none(ranks, dtype, poison):
    clean = ranks.run(zero_ranks.run_steps, dtype, {}, [0, 1])
    spoilt = ranks.run(zero_ranks.run_steps, dtype, {7: poison}, [0, 7, 1])
    for (norms, states, skipped), (spoilt_norms, spoilt_states, spoilt_skipped) in zip(clean, spoilt, strict=True):
        assert spoilt_norms == [norms[0], None, norms[1]] and all(math.isfinite(norm) and norm > 0 for norm in norms)
        assert (skipped, spoilt_skipped) == (0, 1)
        before, after = spoilt_states[1:3]
        assert same(before, after), "nothing of the step is applied"
        assert same(spoilt_states[3], states[2]), "the next step is what it would have been"
        assert not any(torch.equal(before[name], states[2][name]) for name in before)
    assert same(spoilt[0][1][-1], spoilt[1][1][-1])


def test_two_groups_equal_plain_pytorch(ranks):
    norms, states, _ = ranks.run(zero_ranks.run_steps, torch.float32, {}, [0, 1, 2])[0]
    want_norms, want = zero_ranks.plain_steps([0, 1, 2], world=2)
    assert norms == pytest.approx(want_norms, rel=1e-5)
    apart = {name: (states[-1][name] - want[name]).abs() for name in want}
    assert max(float(difference.max()) for difference in apart.values()) < 1e-3 * CONFIG.lr
    assert min(float((states[-1][name] - states[0][name]).abs().mean()) for name in want) > CONFIG.lr


@pytest.mark.parametrize(
    ("train_maps", "groups"), [(True, [("policy", CONFIG.lr), ("psa", CONFIG.psa_lr)]), (False, [("policy", CONFIG.lr)])]
)
def test_a_group_exists_when_something_in_it_trains(ranks, train_maps, groups):
    assert ranks.run(zero_ranks.groups, train_maps) == [groups, groups]


def test_each_group_has_the_rate_of_the_training_step(ranks):
    """Whichever steps came before it."""
    for moves in ranks.run(zero_ranks.moved, [1, 2, 4, 4], 4):
        for step, move in zip([1, 2, 4, 4], moves, strict=True):
            for name, change in move.items():
                full = CONFIG.psa_lr if name.startswith("maps.") else CONFIG.lr
                assert change == pytest.approx(full * (5 - step) / 4, rel=1e-2), (step, name)
