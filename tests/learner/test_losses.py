"""The GRPO loss and its terms against per-token loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.learner.config import LossConfig
from ib_lpo.learner.losses import LOSSES, TokenBatch
from ib_lpo.learner.losses.terms import effective_share, self_reward, truncated_weights

CONFIG = LossConfig(clip_low=0.2, clip_high=0.3, is_cap=1.5)


def draw(n, seed):
    rng = torch.Generator().manual_seed(seed)
    new, old, weights, advantages = (torch.randn(n, dtype=torch.float64, generator=rng) for _ in range(4))
    return (new * 0.4).requires_grad_(), old * 0.4, weights.abs(), advantages


def batch(new, old, weights, advantages):
    return TokenBatch(logprobs=new, entropy=torch.zeros_like(new), old_logprobs=old, weights=weights, advantages=advantages)


def by_hand(new, old, weights, advantages):
    loss, grads, low, high = 0.0, [], 0, 0
    for n, o, w, a in zip(new.tolist(), old.tolist(), weights.tolist(), advantages.tolist(), strict=True):
        ratio = math.exp(n - o)
        stopped_low, stopped_high = a < 0 and ratio < 0.8, a > 0 and ratio > 1.3
        low, high = low + stopped_low, high + stopped_high
        bounded = 0.8 if stopped_low else 1.3 if stopped_high else ratio
        loss -= w * bounded * a
        grads.append(0.0 if stopped_low or stopped_high else -w * a * ratio)
    return loss, grads, low, high


@settings(deadline=None)
@given(n=st.integers(0, 40), seed=st.integers(0, 10_000))
def test_grpo_equals_the_loop(n, seed):
    values = draw(n, seed)
    sums = LOSSES["grpo"](batch(*values), CONFIG)
    loss, grads, low, high = by_hand(*values)
    assert float(sums.policy.detach()) == pytest.approx(loss, abs=1e-12)
    sums.policy.backward()
    assert values[0].grad.tolist() == pytest.approx(grads, abs=1e-12)
    assert (int(sums.metrics["clip_low"]), int(sums.metrics["clip_high"])) == (low, high)
    assert float(sums.metrics["ratio"]) == pytest.approx(float((values[0] - values[1]).exp().sum().detach()))


def test_sums_of_parts_add_up():
    values = draw(30, 1)
    whole = LOSSES["grpo"](batch(*values), CONFIG)
    parts = [LOSSES["grpo"](batch(*(v[cut] for v in values)), CONFIG) for cut in (slice(0, 7), slice(7, 30))]
    assert torch.allclose(whole.policy, parts[0].policy + parts[1].policy)
    for name in whole.metrics:
        assert torch.allclose(whole.metrics[name], parts[0].metrics[name] + parts[1].metrics[name])


def test_truncated_weights_are_capped_and_carry_no_gradient():
    old = torch.tensor([0.0, -1.0, 1.0], requires_grad=True)
    weights = truncated_weights(old, torch.tensor([0.0, 0.0, 0.0]), 2.0)
    assert weights.tolist() == pytest.approx([1.0, math.exp(-1), 2.0])
    assert not weights.requires_grad


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
