"""What any loss may carry: KL to the reference, importance weights, the entropy self-reward."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.learner.losses import KL_LOSSES, k1_advantages
from ib_lpo.learner.losses.kl import k1, k2, k3
from ib_lpo.learner.losses.terms import effective_share, importance_weights, self_reward
from tests.learner.enumeration import TablePolicy

NATS = st.lists(st.tuples(*[st.floats(-4, 4)] * 3), min_size=1, max_size=10)


def columns(rows):
    return torch.tensor(rows, dtype=torch.float64).unbind(1)


@given(rows=NATS)
def test_estimators_are_their_formulas(rows):
    logprobs, reference, _ = columns(rows)
    for lp, ref, one, two, three in zip(
        *(x.tolist() for x in (logprobs, reference, *(k(logprobs, reference) for k in (k1, k2, k3)))), strict=True
    ):
        assert one == lp - ref
        assert two == pytest.approx((lp - ref) ** 2 / 2, abs=1e-12)
        assert three == pytest.approx(math.exp(ref - lp) - 1 + lp - ref, abs=1e-9)
        assert two >= 0 <= three


def expected_under_the_policy(estimator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Over all outcomes of a five-way distribution: the estimator's mean, the KL, and the gradients of both with respect to the logits, the
    mean's taken through the estimator alone, as a loss on samples has it."""
    rng = torch.Generator().manual_seed(0)
    logits, other = (torch.randn(5, dtype=torch.float64, generator=rng) for _ in range(2))
    logits.requires_grad_()
    policy, reference = logits.log_softmax(0), other.log_softmax(0)
    mean = (policy.exp().detach() * estimator(policy, reference)).sum()
    kl = (policy.exp() * (policy - reference)).sum()
    return mean.detach(), kl.detach(), torch.stack([torch.autograd.grad(x, logits, retain_graph=True)[0] for x in (mean, kl)])


def test_k1_is_unbiased_but_has_no_gradient_as_a_loss():
    mean, kl, (of_mean, of_kl) = expected_under_the_policy(k1)
    assert torch.allclose(mean, kl)
    assert of_mean.abs().max() < 1e-12 < of_kl.abs().max()
    assert "k1" not in KL_LOSSES


def test_k2_has_the_gradient_of_the_kl():
    _, _, (of_mean, of_kl) = expected_under_the_policy(KL_LOSSES["k2"])
    assert torch.allclose(of_mean, of_kl)


def test_k3_is_unbiased_and_pulls_towards_the_reference():
    mean, kl, (of_mean, of_kl) = expected_under_the_policy(KL_LOSSES["k3"])
    assert torch.allclose(mean, kl)
    assert float(of_mean @ of_kl) > 0


def test_k1_in_the_advantage_has_the_gradient_of_the_kl():
    """A policy-gradient loss, -A log pi, with A = -coefficient * k1."""

    def loss(policy, reference):
        return -k1_advantages(torch.zeros_like(policy), policy, reference, 1.0) * policy

    _, _, (of_mean, of_kl) = expected_under_the_policy(loss)
    assert torch.allclose(of_mean, of_kl)


def test_k1_advantages_carry_no_gradient():
    old = torch.zeros(2, requires_grad=True)
    found = k1_advantages(torch.tensor([1.0, -1.0]), old, torch.tensor([0.5, -0.5]), 0.1)
    assert found.tolist() == pytest.approx([1.05, -1.05])
    assert not found.requires_grad


@settings(deadline=None)
@given(rows=NATS, engine=st.booleans(), latent=st.sampled_from(["none", "token", "sequence"]), data=st.data())
def test_importance_weights_are_their_formula(rows, engine, latent, data):
    trained, sampled, behaviour = columns(rows)
    sequence = sorted(data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows))))
    how = {"engine": engine, "latent": latent, "sequence": torch.tensor(sequence), "cap": 2.0}
    found = importance_weights(trained.requires_grad_(), sampled, behaviour, **how)
    of_z = {"none": [0.0] * len(rows), "token": [t - s for t, s, _ in rows]}
    of_z["sequence"] = [math.fsum(gap for gap, other in zip(of_z["token"], sequence, strict=True) if other == own) for own in sequence]
    expected = [min(2.0, math.exp(engine * (s - b) + gap)) for (_, s, b), gap in zip(rows, of_z[latent], strict=True)]
    assert found.tolist() == pytest.approx(expected)
    assert not found.requires_grad


@given(rows=NATS)
def test_both_corrections_together_leave_out_the_sampled_log_prob(rows):
    """min(C, pi_old(o|no z) / pi_behaviour(o|z)) of method.md section 3."""
    trained, sampled, behaviour = columns(rows)
    alone = torch.zeros(len(rows), dtype=torch.int64)
    both = importance_weights(trained, sampled, behaviour, engine=True, latent="token", sequence=alone, cap=3.0)
    assert torch.allclose(both, torch.exp(trained - behaviour).clamp_max(3.0))


def corrected_gradient(latent: str) -> tuple[np.ndarray, np.ndarray]:
    """Of a suffix that was sampled under another policy, as z makes it: the expected weighted estimate, and the gradient of V."""
    policy, under_z, prefix = TablePolicy(0), TablePolicy(1), (1,)
    expected = 0.0
    for suffix, probability in under_z.continuations(prefix):
        contexts = [(*prefix, *suffix[:n]) for n in range(len(suffix))]
        trained, sampled = (
            torch.tensor([math.log(of.probabilities(c)[token]) for c, token in zip(contexts, suffix, strict=True)], dtype=torch.float64)
            for of in (policy, under_z)
        )
        alone = torch.zeros(len(suffix), dtype=torch.int64)
        weights = importance_weights(trained, sampled, sampled, engine=True, latent=latent, sequence=alone, cap=math.inf)
        advantage = policy.rewards[(*prefix, *suffix)] - 0.3
        expected = expected + probability * policy.score(prefix, suffix, (advantage * weights).tolist())
    return expected, policy.gradient(prefix)


def test_the_weight_of_the_whole_suffix_is_unbiased_and_that_of_single_tokens_is_not():
    expected, exact = corrected_gradient("sequence")
    assert np.abs(expected - exact).max() < 1e-9
    for latent in ("token", "none"):
        expected, exact = corrected_gradient(latent)
        assert np.abs(expected - exact).max() > 1e-3


def test_self_reward_pulls_entropy_up_where_the_advantage_is_positive():
    entropy = torch.tensor([1.0, 2.0], requires_grad=True)
    reward = self_reward(torch.tensor([0.5, -0.25]), entropy)
    reward.backward()
    assert float(reward.detach()) == 0.0
    assert entropy.grad.tolist() == [0.5, -0.25]


def test_effective_share():
    weights = [1.0, 0.5, 2.0]
    assert effective_share(sum(weights), sum(w * w for w in weights), 3) == pytest.approx(3.5**2 / (3 * 5.25))
    assert effective_share(4.0, 4.0, 4) == 1.0
    assert effective_share(0.0, 0.0, 0) == 0.0
