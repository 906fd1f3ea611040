"""PSA in the Hugging Face policy against a straight-line reference, and against the base model without z."""

import pytest
import torch

from ib_lpo.latent.config import PsaConfig
from ib_lpo.latent.psa import PsaMaps, PsaShape
from ib_lpo.policy.psa_attention import install, psa_context
from tests.policy.reference import reference_logits
from tests.policy.tiny import tiny_policy

DIM = 8
LENGTHS = (11, 7, 14, 9)
Z_ROWS, FORKS = torch.tensor([0, 2]), torch.tensor([4, 1])


def setting(policy, psa):
    shape = PsaShape.of(policy.config, psa, DIM)
    maps = PsaMaps(shape)
    maps.reset(std=1.5, seed=5)
    rng = torch.Generator().manual_seed(9)
    ids = torch.randint(1, 97, (len(LENGTHS), max(LENGTHS)), generator=rng)
    for row, length in enumerate(LENGTHS):
        ids[row, length:] = 0
    return shape, maps, ids, torch.randn(len(Z_ROWS), DIM, generator=rng)


def attention_mask(ids):
    return torch.arange(ids.shape[1]) < torch.tensor(LENGTHS)[:, None]


@pytest.mark.parametrize("masked", [False, True], ids=["causal", "padding mask"])
@pytest.mark.parametrize(
    "psa",
    [
        PsaConfig(layers=2, k_slots=3, tau=5.0),
        PsaConfig(layers="all", k_slots=1, gate="cosine", gamma0=0.7, tau=6.0),
        PsaConfig(layers=(0, 2), k_slots=2, gate="linear", gamma0=1.3, tau=4.0),
    ],
    ids=["last two", "all", "first and last"],
)
def test_equals_the_reference(policy, psa, masked):
    shape, maps, ids, z = setting(policy, psa)
    want = []
    for row, length in enumerate(LENGTHS):
        at = Z_ROWS.tolist().index(row) if row in Z_ROWS else None
        latent, fork = (None, 0) if at is None else (z[at], int(FORKS[at]))
        want.append(reference_logits(policy, ids[row, :length], maps, shape.layers, psa, latent, fork))
    install(policy, shape)
    with torch.no_grad():
        context = psa_context(maps(z), Z_ROWS, FORKS, ids.shape[1], psa)
        got = policy(ids, psa=context, attention_mask=attention_mask(ids) if masked else None).logits
    for row, length in enumerate(LENGTHS):
        spread = float(want[row].std())
        assert (got[row, :length] - want[row]).abs().max() < 1e-5 * max(1.0, spread)


@torch.no_grad()
def test_without_z_every_bit_is_the_base_models(policy):
    psa = PsaConfig(layers=2, k_slots=3)
    shape, maps, ids, z = setting(policy, psa)
    base = policy(ids).logits
    install(policy, shape)
    assert torch.equal(policy(ids).logits, base)
    context = psa_context(maps(z), Z_ROWS, FORKS, ids.shape[1], psa)
    mixed = policy(ids, psa=context).logits
    assert torch.equal(mixed[[1, 3]], base[[1, 3]])
    for row, fork in zip(Z_ROWS, FORKS, strict=True):
        assert torch.equal(mixed[row, :fork], base[row, :fork])
        assert (mixed[row, fork] - base[row, fork]).abs().max() > 0.05
    assert torch.equal(policy(ids).logits, base), "z of an earlier call must not linger"


@torch.no_grad()
def test_a_closed_gate_leaves_only_the_slots(policy):
    shape, maps, ids, z = setting(policy, PsaConfig(layers="all"))
    install(policy, shape)
    closed = PsaConfig(layers="all", gamma0=0.0)
    plain = policy(ids).logits
    with_slots = policy(ids, psa=psa_context(maps(z), Z_ROWS, FORKS, ids.shape[1], closed)).logits
    assert (with_slots[0] - plain[0]).abs().max() > 0.05
    want = reference_logits(policy, ids[0, :11], maps, shape.layers, closed, z[0], 4)
    assert torch.allclose(with_slots[0, :11], want, atol=1e-4)


def test_checkpointed_gradients_equal_plain_ones():
    psa = PsaConfig(layers=2, k_slots=3, tau=5.0)
    grads = []
    for checkpointing in (False, True):
        policy = tiny_policy("qwen3").train()
        shape, maps, ids, z = setting(policy, psa)
        install(policy, shape)
        if checkpointing:
            policy.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        context = psa_context(maps(z), Z_ROWS, FORKS, ids.shape[1], psa)
        first = policy(ids, psa=context).logits.logsumexp(-1).sum()
        policy(ids, psa=psa_context(maps(-z), Z_ROWS, FORKS, ids.shape[1], psa))  # another z in between must not leak
        first.backward()
        grads.append({name: p.grad.clone() for name, p in [*policy.named_parameters(), *maps.named_parameters()]})
    assert grads[0]["kv"].abs().max() > 0 and grads[0]["norm"].abs().max() > 0
    for name, grad in grads[0].items():
        assert torch.allclose(grad, grads[1][name], rtol=1e-4, atol=1e-5), name
