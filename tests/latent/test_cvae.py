"""The CVAE's Gaussians against torch.distributions, and what its networks take and give."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Independent, Normal, kl_divergence

from ib_lpo.latent.cvae import Cvae, Gaussian, Standardise
from ib_lpo.latent.store import CvaeShape

SHAPE = CvaeShape(dim=5, features=7, hidden=11)


def gaussian(seed: int, n: int = 6, dim: int = 5) -> Gaussian:
    rng = torch.Generator().manual_seed(seed)
    return Gaussian(torch.randn(n, dim, generator=rng), 0.7 * torch.randn(n, dim, generator=rng))


def reference(found: Gaussian) -> Normal:
    return Normal(found.mu, found.log_sigma.exp())


@settings(deadline=None)
@given(st.integers(0, 2**30), st.integers(0, 2**30))
def test_kl_is_that_of_torch_distributions(first, second):
    q, p = gaussian(first), gaussian(second)
    torch.testing.assert_close(q.kl(p), kl_divergence(reference(q), reference(p)), rtol=1e-4, atol=1e-5)
    assert (q.kl(q).abs() < 1e-6).all() and (q.kl(p) > -1e-6).all()


def test_kl_is_of_self_from_other():
    """A narrow q under a wide p costs little; the reverse, mass of the wide one far outside of the narrow one, costs much."""
    wide, narrow = (Gaussian(torch.zeros(1, 1), torch.full((1, 1), log_sigma)) for log_sigma in (1.0, -1.0))
    assert narrow.kl(wide).item() == pytest.approx(2 + 0.5 * torch.tensor(-4.0).exp().item() - 0.5)
    assert wide.kl(narrow).item() == pytest.approx(-2 + 0.5 * torch.tensor(4.0).exp().item() - 0.5)


def test_samples_have_the_moments_and_carry_gradient():
    found = gaussian(4, n=1)
    noise = torch.randn(60_000, 5, generator=torch.Generator().manual_seed(0))
    samples = found.sample(noise)
    torch.testing.assert_close(samples.mean(0), found.mu[0], atol=0.05, rtol=0)
    torch.testing.assert_close(samples.std(0), found.log_sigma[0].exp(), atol=0, rtol=0.02)
    mu, log_sigma = torch.zeros(1, 2, requires_grad=True), torch.zeros(1, 2, requires_grad=True)
    Gaussian(mu, log_sigma).sample(torch.tensor([[3.0, -2.0]])).sum().backward()
    assert mu.grad.tolist() == [[1, 1]] and log_sigma.grad.tolist() == [[3, -2]]


def test_a_residual_is_the_noise_of_its_sample():
    found, noise = gaussian(5), torch.randn(6, 5, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(found.residual(found.sample(noise)), noise, rtol=1e-4, atol=1e-5)


def test_the_expected_log_ratio_is_the_divergence():
    q, p = gaussian(2, n=1), gaussian(3, n=1)
    samples = q.sample(torch.randn(200_000, 5, generator=torch.Generator().manual_seed(1)))
    gap = Independent(reference(q), 1).log_prob(samples) - Independent(reference(p), 1).log_prob(samples)
    assert q.kl(p).sum().item() == pytest.approx(gap.mean().item(), rel=0.02)


def test_standardised_features_have_no_mean_and_unit_spread():
    scale, features = Standardise(3), torch.randn(50, 3) * torch.tensor([1e-3, 1.0, 40.0]) + torch.tensor([5.0, 0.0, -7.0])
    torch.testing.assert_close(scale(features), features)  # before it is measured
    scale.measure(features)
    torch.testing.assert_close(scale(features).mean(0), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(scale(features).std(0), torch.ones(3), atol=1e-3, rtol=0)
    assert set(scale.state_dict()) == {"mean", "std"} and not list(scale.parameters())


def test_a_feature_that_never_varied_is_not_blown_up():
    scale = Standardise(2)
    scale.measure(torch.tensor([[1.0, 2.0], [1.0, 4.0]]))
    found = scale(torch.tensor([[1.5, 3.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.0]]))


def test_the_prior_sees_the_condition_alone_and_the_posterior_both():
    torch.manual_seed(0)
    cvae, condition, continuation = Cvae(SHAPE), torch.randn(4, 7), torch.randn(4, 7)
    prior, posterior = cvae.p(condition), cvae.q(condition, continuation)
    assert prior.mu.shape == posterior.log_sigma.shape == (4, 5)
    assert not torch.allclose(cvae.q(condition, continuation.flip(0)).mu, posterior.mu)
    assert not torch.allclose(cvae.q(condition.flip(0), continuation).mu, posterior.mu)
    assert prior.kl(Gaussian(torch.zeros(4, 5), torch.zeros(4, 5))).max() < 0.1  # near N(0, I) at first
    assert cvae.p(1e6 * condition).log_sigma.abs().max() <= 6
