"""Where attention goes under z: mass on the slots, and how far z moves the rest, per layer and head (the paper's figure 4).

The policy of the learner is run on one branch, once without z and once with it, with attention weights held; both are compared on the
queries from the fork on. Slots exist under pseudo self-attention alone. What all injections have in common is the total variation
distance 1/2 sum |a_z - a_0| over all keys, slots included: 0 where z changes nothing (softmax fusion in every layer), 1 at most.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv

from ib_lpo.latent.injection import LatentMaps, MapShape
from ib_lpo.latent.store import build_maps
from ib_lpo.manifest import Manifest
from ib_lpo.policy.forest import Path, plant
from ib_lpo.policy.load import load_policy
from ib_lpo.policy.packed_attention import PackedContext, hidden_states, install, packed_context

IMPLEMENTATION = "ib_lpo_watched"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionEffect:
    """Means over branches and over their queries from the fork on; float64 [layers, heads] each."""

    slot_mass: np.ndarray  # attention weight on the slots
    moved: np.ndarray  # total variation distance from the attention without z


@dataclass(slots=True)
class _Watch:
    """Attention weights [heads, queries, keys] by layer of the pass under way, of queries from `start` on."""

    start: int = 0
    weights: dict[int, Tensor] = field(default_factory=dict)


def attention_effect(manifest: Manifest, branches: list[tuple[np.ndarray, int, np.ndarray]]) -> AttentionEffect:
    """`branches`: (token ids of prompt and response, index of the first new token, z). Raises UserError for a latent that does not fit."""
    policy = load_policy(manifest.model, dtype=torch.float32, device="cpu").requires_grad_(False)
    maps = build_maps(manifest, MapShape.of(policy.config, manifest.latent), torch.float32)
    watch = _Watch()
    _watch(policy, maps.shape, watch)
    found = [_of_branch(policy, maps, manifest, watch, *branch) for branch in branches]
    return AttentionEffect(slot_mass=np.mean([one.slot_mass for one in found], axis=0), moved=np.mean([one.moved for one in found], axis=0))


@torch.no_grad()
def _of_branch(
    policy: PreTrainedModel, maps: LatentMaps, manifest: Manifest, watch: _Watch, ids: np.ndarray, start: int, z: np.ndarray
) -> AttentionEffect:
    watch.start = start - 1
    passes = []
    for latent in (None, z):
        forest = plant([Path(ids=ids, start=start, latent=latent)], share=True)
        terms = None if latent is None else maps(forest.latents)
        watch.weights = {}
        hidden_states(policy, packed_context(forest, terms, manifest.latent.psa), maps.shape.injection)
        passes.append([watch.weights[layer] for layer in range(policy.config.num_hidden_layers)])
    layers = [_compare(plain, with_z) for plain, with_z in zip(*passes, strict=True)]
    return AttentionEffect(slot_mass=np.stack([slots for slots, _ in layers]), moved=np.stack([moved for _, moved in layers]))


def _compare(plain: Tensor, with_z: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Slot mass and total variation distance per head. plain [h, Q, keys], with_z [h, Q, slots + keys]: slots come first."""
    slots = with_z.shape[-1] - plain.shape[-1]
    mass = with_z[..., :slots].sum(-1)
    moved = 0.5 * (mass + (with_z[..., slots:] - plain).abs().sum(-1))
    return mass.mean(-1).double().numpy(), moved.mean(-1).double().numpy()


def _watch(policy: PreTrainedModel, shape: MapShape, watch: _Watch) -> None:
    """Install packed attention, with the weights of every layer written down. For forests of one path."""
    install(policy, shape)
    AttentionInterface.register(IMPLEMENTATION, _attention)
    policy.set_attn_implementation(IMPLEMENTATION)
    for layer, block in enumerate(policy.model.layers):
        block.self_attn.watch = _note(watch, layer)


def _note(watch: _Watch, layer: int) -> Callable[[Tensor], None]:
    def note(weights: Tensor) -> None:
        watch.weights[layer] = weights[0, :, watch.start :]

    return note


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: None, packed: PackedContext, scaling: float, **kwargs
) -> tuple[Tensor, None]:
    """Plain softmax attention of one path, as policy/packed_attention.py defines it, with its weights told to `module.watch`."""
    slots = 0
    if packed.terms is not None and hasattr(module, "psa_slot"):
        slots = packed.terms.k.shape[2]
        key, value = (
            torch.cat([rows[:, module.psa_slot].transpose(1, 2), side], dim=2)
            for rows, side in ((packed.terms.k, key), (packed.terms.v, value))
        )
    length, group = query.shape[2], query.shape[1] // key.shape[1]
    sees = torch.ones(length, length, dtype=torch.bool).tril()
    if slots:
        carries = (packed.forest.latent_of >= 0)[:, None].expand(-1, slots)
        sees = torch.cat([carries, sees], dim=1)
    scores = query @ repeat_kv(key, group).transpose(2, 3) * scaling
    weights = scores.masked_fill(~sees, -math.inf).softmax(-1)
    module.watch(weights)
    return (weights @ repeat_kv(value, group)).transpose(1, 2).contiguous(), None
