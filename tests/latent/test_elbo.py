"""The evidence lower bound: annealing, free bits, active units, collapse."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.latent.fitting.elbo import active_units, beta_at, collapse, divergence

STEPS = st.integers(1, 400)


@settings(deadline=None)
@given(STEPS, st.integers(1, 40), st.floats(0, 1), st.floats(0.01, 10))
def test_beta_stays_within_its_bounds_and_ends_at_the_top(steps, cycles, ramp, top):
    found = [beta_at(step, steps=steps, top=top, cycles=cycles, ramp=ramp) for step in range(1, steps + 1)]
    assert all(0 < beta <= top for beta in found)
    assert found[-1] == top


@settings(deadline=None)
@given(st.integers(2, 60), st.integers(1, 6), st.floats(0.05, 1))
def test_every_cycle_is_the_same_rise_and_plateau(length, cycles, ramp):
    def beta(step):
        return beta_at(step, steps=length * cycles, top=2.0, cycles=cycles, ramp=ramp)

    first = [beta(step) for step in range(1, length + 1)]
    for cycle in range(1, cycles):
        assert [beta(cycle * length + step) for step in range(1, length + 1)] == pytest.approx(first)
    for step, value in enumerate(first, start=1):
        assert value == pytest.approx(2.0 * min(1.0, step / length / ramp))  # linear from 0, then flat


def test_beta_by_hand():
    def schedule(**settings):
        return [beta_at(step, top=1.0, **settings) for step in range(1, settings["steps"] + 1)]

    assert schedule(steps=8, cycles=2, ramp=0.5) == pytest.approx([0.5, 1, 1, 1, 0.5, 1, 1, 1])
    assert schedule(steps=4, cycles=1, ramp=1.0) == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert schedule(steps=4, cycles=1, ramp=0.0) == [1.0] * 4
    assert schedule(steps=1, cycles=4, ramp=0.5) == [1.0]
    assert schedule(steps=3, cycles=3, ramp=0.5) == [1.0] * 3


@settings(deadline=None)
@given(st.integers(0, 2**30), st.floats(0, 2), st.floats(0, 0.5))
def test_free_bits(seed, beta, free_bits):
    kl = (torch.rand(6, 9, generator=torch.Generator().manual_seed(seed)) ** 3).requires_grad_()
    found = divergence(kl, beta=beta, free_bits=free_bits)
    found.backward()
    means, expected = kl.detach().mean(0), 0.0
    for d in range(9):
        expected += beta * max(free_bits, means[d].item())
        slope = beta / 6 if means[d] > free_bits else 0.0
        assert kl.grad[:, d].tolist() == pytest.approx([slope] * 6)
    assert found.item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_active_units_vary_between_pairs():
    rng = torch.Generator().manual_seed(0)
    spread = torch.tensor([1.0, 0.2, 0.05, 0.0])  # variances 1, 0.04, 0.0025, 0
    gap = torch.randn(4000, 4, generator=rng) * spread + torch.tensor([0.0, 5.0, 5.0, 5.0])
    paid = torch.ones(4000, 4)
    assert active_units(gap, paid, free_bits=0.0) == 2  # a constant gap, however large, tells pairs not apart
    assert active_units(gap, paid, free_bits=0.0, threshold=0.001) == 3
    assert active_units(torch.zeros(2, 8), torch.ones(2, 8), free_bits=0.0) == 0


def test_active_units_cost_more_than_is_free():
    """A q that stands at the floor by its mean has Var(gap) = 2 * free_bits, above the threshold of the default."""
    floor, rng = 0.02, torch.Generator().manual_seed(0)
    gap = torch.randn(4000, 3, generator=rng) * torch.tensor([2 * floor, 3 * floor, 6 * floor]).sqrt()
    kl = 0.5 * gap.square()  # sigma_q = sigma_p
    assert (gap.var(0) > 0.01).all()
    assert active_units(gap, kl, free_bits=floor) == 1
    assert active_units(gap, kl, free_bits=floor / 2) == 2
    assert active_units(gap, kl, free_bits=0.0) == 3


def test_collapse_says_why():
    alive = {"active_units": 3.0, "use_of_z": 0.5, "use_of_z_error": 0.05, "nll": 2.0, "nll_without": 2.3}
    assert collapse(alive, min_active_units=3, min_use=0.39) is None
    few = collapse(alive, min_active_units=4, min_use=0.0)
    assert few == "3 active dimensions, fewer than latent_fit.min_active_units=4"
    for least in (0.41, 0.5):  # two standard errors are not granted
        useless = collapse(alive, min_active_units=1, min_use=least)
        assert "0.500 ± 0.050 nats" in useless and f"two standard errors more than latent_fit.min_use={least}" in useless
    assert collapse(alive | {"use_of_z_error": 0.26}, min_active_units=1, min_use=0.0) is not None
    assert collapse(alive | {"use_of_z": float("nan")}, min_active_units=1, min_use=-1e9) is not None
    harmful = collapse(alive | {"nll": 2.4}, min_active_units=1, min_use=0.0)
    assert "2.400 nats under its own z and 2.300 without any" in harmful
