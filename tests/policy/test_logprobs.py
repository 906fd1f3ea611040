"""token_logprobs against the naive formula on whole logits."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.policy.logprobs import token_logprobs


def naive(hidden, weight, targets, temperature):
    logits = hidden @ weight.T
    logits = logits if logits.dtype == torch.float64 else logits.float()
    logprobs = torch.log_softmax(logits / temperature, -1)[torch.arange(len(targets)), targets]
    p = torch.softmax(logits, -1)
    return logprobs, -(p * torch.log_softmax(logits, -1)).sum(-1)


def inputs(n, h, v, dtype, seed=0):
    rng = torch.Generator().manual_seed(seed)
    hidden = torch.randn(n, h, generator=rng, dtype=dtype)
    weight = torch.randn(v, h, generator=rng, dtype=dtype)
    return hidden.requires_grad_(), weight.requires_grad_(), torch.randint(0, v, (n,), generator=rng)


@settings(deadline=None, max_examples=30)
@given(
    n=st.integers(1, 13),
    v=st.integers(2, 40),
    chunk=st.integers(1, 16),
    temperature=st.sampled_from([0.3, 0.9, 1.0, 1.7]),
    seed=st.integers(0, 1000),
)
def test_values_and_gradients_equal_the_naive_formula(n, v, chunk, temperature, seed):
    hidden, weight, targets = inputs(n, 5, v, torch.float64, seed)
    pull = torch.randn(2, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + 1))
    got = token_logprobs(hidden, weight, targets, temperature=temperature, chunk=chunk)
    want = naive(hidden, weight, targets, temperature)
    for a, b in zip(got, want, strict=True):
        assert torch.allclose(a, b, atol=1e-12)
    got_grads = torch.autograd.grad((got[0] * pull[0] + got[1] * pull[1]).sum(), (hidden, weight))
    want_grads = torch.autograd.grad((want[0] * pull[0] + want[1] * pull[1]).sum(), (hidden, weight))
    for a, b in zip(got_grads, want_grads, strict=True):
        assert torch.allclose(a, b, atol=1e-11)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_numerical_gradients(temperature):
    hidden, weight, targets = inputs(5, 4, 7, torch.float64)
    assert torch.autograd.gradcheck(lambda h, w: token_logprobs(h, w, targets, temperature=temperature, chunk=2), (hidden, weight))


def test_float32_is_close_on_a_large_vocabulary():
    hidden, weight, targets = inputs(32, 16, 20_000, torch.float32)
    logprobs, entropy = token_logprobs(hidden, weight, targets, temperature=0.9, chunk=8)
    exact = naive(hidden.double(), weight.double(), targets, 0.9)
    assert logprobs.dtype == entropy.dtype == torch.float32
    assert (logprobs - exact[0]).abs().max() < 2e-5
    assert (entropy - exact[1]).abs().max() < 2e-5


def test_low_precision_product_is_widened_after_the_matmul():
    hidden, weight, targets = inputs(6, 8, 50, torch.bfloat16)
    got = token_logprobs(hidden, weight, targets, chunk=4)
    want = naive(hidden, weight, targets, 1.0)
    for a, b in zip(got, want, strict=True):
        assert a.dtype == torch.float32
        assert torch.allclose(a, b, atol=1e-5)
    (got[0].sum() + got[1].sum()).backward()
    assert hidden.grad.dtype == weight.grad.dtype == torch.bfloat16


def test_only_the_requested_gradients_are_made():
    hidden, weight, targets = inputs(6, 8, 50, torch.float32)
    token_logprobs(hidden, weight.detach(), targets)[0].sum().backward()
    assert hidden.grad.abs().sum() > 0
    assert weight.grad is None


def test_no_tokens():
    hidden, weight, targets = inputs(0, 8, 50, torch.float32)
    logprobs, entropy = token_logprobs(hidden, weight, targets)
    (logprobs.sum() + entropy.sum()).backward()
    assert logprobs.shape == entropy.shape == (0,)
    assert torch.equal(weight.grad, torch.zeros_like(weight))


def test_logits_never_exist_for_more_than_a_chunk(monkeypatch):
    seen = []
    import ib_lpo.policy.logprobs as module

    plain = module._logits
    monkeypatch.setattr(module, "_logits", lambda h, w: seen.append(h.shape[0]) or plain(h, w))
    hidden, weight, targets = inputs(10, 4, 9, torch.float32)
    token_logprobs(hidden, weight, targets, chunk=4)[0].sum().backward()
    assert seen == [4, 4, 2, 4, 4, 2]
