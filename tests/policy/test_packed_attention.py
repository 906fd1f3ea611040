"""The packed forest in the Hugging Face policy against a straight-line reference, the base model, and one path at a time."""

from dataclasses import replace
from types import MethodType

import numpy as np
import pytest
import torch

from ib_lpo.errors import UserError
from ib_lpo.latent.config import LatentConfig, PsaConfig
from ib_lpo.latent.injection import LatentMaps, MapShape
from ib_lpo.policy.forest import Path, plant
from ib_lpo.policy.packed_attention import hidden_states, install, packed_context, with_block_masks
from tests.policy.reference import reference_logits
from tests.policy.tiny import tiny_policy

DIM = 8
PSA = PsaConfig(layers=2, k_slots=3, tau=5.0)


def setting(policy, psa, injection="psa"):
    shape = MapShape.of(policy.config, LatentConfig(dim=DIM, psa=psa, injection=injection))
    maps = LatentMaps(shape)
    maps.reset(std=1.5, seed=5)
    return shape, maps


def grove(latent=True):
    """Two questions; roots, branches at the same and at different forks, some with z."""
    rng = np.random.default_rng(9)
    found = []
    for _ in range(2):
        prompt, roots = rng.integers(1, 97, 4), [rng.integers(1, 97, int(rng.integers(7, 11))) for _ in range(2)]
        for root in roots:
            found.append(Path(ids=np.concatenate([prompt, root]), start=4))
            for fork in (3, 3, 5):
                ids = np.concatenate([prompt, root[:fork], rng.integers(1, 97, int(rng.integers(2, 7)))])
                with_z = latent and fork == 3
                z = rng.standard_normal(DIM).astype(np.float32) if with_z else None
                found.append(Path(ids=ids, start=4 + fork, latent=z))
    return found


def hidden(policy, forest, maps=None, psa=PSA, *, blocks=False):
    """[1, T, H]."""
    terms = None if forest.latents is None else maps(forest.latents.to(next(maps.parameters()).dtype))
    context = packed_context(forest, terms, psa)
    if blocks:
        context = with_block_masks(context)
    return hidden_states(policy, context, "psa" if maps is None else maps.shape.injection)


def logits(policy, paths, maps=None, psa=PSA, *, share=True, blocks=False):
    """[N, V], at the source of every target."""
    forest = plant(paths, share=share)
    return policy.lm_head(hidden(policy, forest, maps, psa, blocks=blocks)[0, forest.source])


@pytest.mark.parametrize("share", [False, True], ids=["flat", "tree"])
@pytest.mark.parametrize(
    "psa",
    [
        PSA,
        PsaConfig(layers="all", k_slots=1, gate="cosine", gamma0=0.7, tau=6.0),
        PsaConfig(layers=(0, 2), k_slots=2, gate="linear", gamma0=1.3, tau=4.0),
    ],
    ids=["last two", "all", "first and last"],
)
@torch.no_grad()
def test_equals_the_reference(policy, psa, share):
    shape, maps = setting(policy, psa)
    paths = grove()
    want = []
    for path in paths:
        z = None if path.latent is None else torch.from_numpy(path.latent)
        whole = reference_logits(policy, torch.from_numpy(path.ids).long(), maps, shape.layers, psa, z, path.start - 1)
        want.append(whole[path.start - 1 : -1])
    install(policy, shape)
    got = logits(policy, paths, maps, psa, share=share)
    want = torch.cat(want)
    assert (got - want).abs().max() < 1e-5 * max(1.0, float(want.std()))


@pytest.mark.parametrize("injection", ["input", "softmax"])
@torch.no_grad()
def test_fusion_equals_the_reference(policy, injection):
    shape, maps = setting(policy, PSA, injection)
    path = grove()[1]
    ids, z = torch.from_numpy(path.ids).long(), torch.from_numpy(path.latent)
    want = reference_logits(policy, ids, maps, (), PSA, z, path.start - 1, injection=injection)[path.start - 1 : -1]
    plain = reference_logits(policy, ids, maps, (), PSA)[path.start - 1 : -1]
    install(policy, shape)
    got = logits(policy, [path], maps)
    assert (got - want).abs().max() < 1e-5 * max(1.0, float(want.std()))
    assert (got - plain).abs().max() > 0.05


@torch.no_grad()
def test_layer_gates_scale_the_modulation_of_their_layer(policy):
    gated = PsaConfig(layers=2, k_slots=3, tau=5.0, layer_gates=(0.0, -1.5))
    shape, maps = setting(policy, gated)
    path = grove()[1]
    ids, z = torch.from_numpy(path.ids).long(), torch.from_numpy(path.latent)
    want = reference_logits(policy, ids, maps, shape.layers, gated, z, path.start - 1)[path.start - 1 : -1]
    install(policy, shape)
    got = logits(policy, [path], maps, gated)
    assert (got - want).abs().max() < 1e-5 * max(1.0, float(want.std()))
    with pytest.raises(UserError, match=r"layer_gates=\[1\.0\]: 2 layers"):
        setting(policy, PsaConfig(layers=2, layer_gates=(1.0,)))


@torch.no_grad()
def test_without_z_every_bit_is_the_base_models(policy):
    paths = grove(latent=False)
    base = [policy.model(torch.from_numpy(p.ids[:-1]).long()[None]).last_hidden_state for p in paths]
    install(policy, setting(policy, PSA)[0])
    for path, want in zip(paths, base, strict=True):
        assert torch.equal(hidden(policy, plant([path], share=True)), want)


@torch.no_grad()
def test_a_closed_gate_leaves_only_the_slots(policy):
    closed = PsaConfig(layers="all", gamma0=0.0)
    shape, maps = setting(policy, closed)
    path = grove()[1]
    plain = replace(path, latent=None)
    want = reference_logits(
        policy, torch.from_numpy(path.ids).long(), maps, shape.layers, closed, torch.from_numpy(path.latent), path.start - 1
    )
    install(policy, shape)
    with_slots = logits(policy, [path], maps, closed)
    assert (with_slots - logits(policy, [plain], maps, closed)).abs().max() > 0.05
    assert torch.allclose(with_slots, want[path.start - 1 : -1], atol=1e-4)


@pytest.mark.parametrize("latent", [False, True], ids=["plain", "latents"])
@torch.no_grad()
def test_blocks_equal_runs(policy, latent):
    """FlexAttention, the kernel on CUDA, uncompiled."""
    shape, maps = setting(policy, PSA)
    install(policy, shape)
    given = (grove(latent), maps if latent else None)
    want = logits(policy, *given)
    assert torch.allclose(logits(policy, *given, blocks=True), want, atol=1e-5 * float(want.std()))


def keep_precision(policy):
    """RMS norms that compute in the type of the model; transformers' go through float32 in any case."""

    def exact(norm, h):
        return norm.weight * h * torch.rsqrt(h.square().mean(-1, keepdim=True) + norm.variance_epsilon)

    for module in policy.modules():
        if hasattr(module, "variance_epsilon"):
            module.forward = MethodType(exact, module)
    return policy


def gradients(architecture, dtype, paths_of_passes, share, latent):
    """Of a loss with another weight on every target; passes add up."""
    policy = keep_precision(tiny_policy(architecture).to(dtype))
    shape, maps = setting(policy, PSA)
    maps = maps.to(dtype)
    install(policy, shape)
    loss = torch.zeros((), dtype=dtype)
    for paths, weights in paths_of_passes:
        statistics = logits(policy, paths, maps if latent else None, share=share).log_softmax(-1)
        targets = torch.from_numpy(np.concatenate([p.ids[p.start :] for p in paths])).long()
        loss = loss - (weights.to(dtype) * statistics.gather(-1, targets[:, None]).squeeze(-1)).sum()
    loss.backward()
    found = dict(policy.named_parameters()) | {f"maps.{name}": p for name, p in maps.named_parameters()}
    return loss.detach(), {name: p.grad for name, p in found.items() if p.grad is not None}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=["fp64", "fp32"])
@pytest.mark.parametrize("latent", [False, True], ids=["plain", "latents"])
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_a_tree_has_the_loss_and_gradient_of_its_trajectories(architecture, latent, dtype, tolerance):
    """Also in another order, and against packing without sharing."""
    paths = grove(latent)
    rng = torch.Generator().manual_seed(2)
    weights = [0.1 + torch.rand(len(p.ids) - p.start, generator=rng, dtype=torch.float64) for p in paths]
    alone = [([p], w) for p, w in zip(paths, weights, strict=True)]
    order = torch.randperm(len(paths), generator=rng).tolist()
    together = [(paths, torch.cat(weights))]
    shuffled = [([paths[i] for i in order], torch.cat([weights[i] for i in order]))]
    want_loss, want = gradients(architecture, dtype, alone, False, latent)
    assert ("maps.kv" in want) == latent and all(g.abs().max() > 0 for g in want.values())
    for passes, share in ((together, True), (together, False), (shuffled, True)):
        loss, got = gradients(architecture, dtype, passes, share, latent)
        assert abs(loss - want_loss) <= tolerance * abs(want_loss)
        assert set(got) == set(want)
        for name, gradient in want.items():
            assert (got[name] - gradient).norm() <= tolerance * gradient.norm(), name


def test_checkpointed_gradients_equal_plain_ones():
    grads = []
    for checkpointing in (False, True):
        policy = tiny_policy("qwen3").train()
        shape, maps = setting(policy, PSA)
        install(policy, shape)
        if checkpointing:
            policy.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        first = logits(policy, grove(), maps).logsumexp(-1).sum()
        other = [replace(p, latent=None if p.latent is None else -p.latent) for p in grove()]
        logits(policy, other, maps)  # another z in between must not leak
        first.backward()
        grads.append({name: p.grad.clone() for name, p in [*policy.named_parameters(), *maps.named_parameters()]})
    assert grads[0]["kv"].abs().max() > 0 and grads[0]["norm"].abs().max() > 0
    for name, grad in grads[0].items():
        assert torch.allclose(grad, grads[1][name], rtol=1e-4, atol=1e-5), name


def test_a_batch_without_a_forest_is_refused(policy):
    install(policy, None)
    with pytest.raises(ValueError, match="packed forests alone"):
        policy(torch.ones(2, 5, dtype=torch.int64))
