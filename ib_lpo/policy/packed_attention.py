"""Attention over a packed forest inside the Hugging Face policy, and what latents do to the tokens that carry one.

`install` once, then ask `hidden_states` for those of a PackedContext (policy/forest.py; how z acts: method.md section 1, maths in
latent/injection.py). A token attends to its own path and, if it carries a z, to that z's slots. Two kernels give the same:
on the CPU every run of the forest is one SDPA call over exactly the keys it needs, on CUDA FlexAttention skips the blocks nobody needs.
The context travels as a keyword argument of every decoder layer, so activation checkpointing recomputes with the same one.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv

from ib_lpo.latent.config import PsaConfig
from ib_lpo.latent.injection import LatentTerms, MapShape, gate
from ib_lpo.policy.forest import Forest, Run

IMPLEMENTATION = "ib_lpo_packed"


@dataclass(frozen=True, slots=True, eq=False)
class PackedContext:
    """A forest and what its latents contribute. n = injected layers in the order of MapShape.layers."""

    forest: Forest
    terms: LatentTerms | None = None  # of the R latents; None: no token carries a z
    gates: Tensor | None = None  # float32 [Z], gamma(t) of the tokens that carry one
    block_mask: BlockMask | None = None  # of FlexAttention, over [T, T] or, with terms, [T, R * k_slots + T]
    plain_mask: BlockMask | None = None  # the same without slots, for layers that are not injected


def packed_context(forest: Forest, terms: LatentTerms | None, psa: PsaConfig | None) -> PackedContext:
    """The context of one forward pass; `terms` of forest.latents, None when it has none."""
    context = PackedContext(forest)
    if terms is not None:
        gates = gate(forest.z_since, kind=psa.gate, gamma0=psa.gamma0, tau=psa.tau)
        context = replace(context, terms=terms, gates=gates)
    return with_block_masks(context) if forest.ids.is_cuda else context


def with_block_masks(context: PackedContext) -> PackedContext:
    """The context with what FlexAttention needs, made once and used by all layers."""
    plain = _block_mask(context.forest, slots=0)
    if context.terms is None:
        return replace(context, plain_mask=plain)
    return replace(context, plain_mask=plain, block_mask=_block_mask(context.forest, slots=context.terms.k.shape[2]))


def install(model: PreTrainedModel, shape: MapShape | None) -> None:
    """Give a Qwen2, Qwen3 or Llama model the `packed` keyword, without which it no longer runs. `shape`: of the maps, or None.

    Once a model.
    """
    AttentionInterface.register(IMPLEMENTATION, _attention)
    model.set_attn_implementation(IMPLEMENTATION)
    for slot, layer in enumerate(() if shape is None else shape.layers):
        block = model.model.layers[layer]
        block.self_attn.psa_slot = slot
        _hook_norms(block, slot)


def hidden_states(model: PreTrainedModel, packed: PackedContext, injection: str) -> Tensor:
    """Last hidden states [1, T, H] of the packed tokens: the output layer's input. `injection`: how the context's latents act."""
    forest = packed.forest
    embedded = model.model.embed_tokens(forest.ids)
    if injection == "input":
        embedded = _shifted(embedded, packed)
    hidden = model.model(inputs_embeds=embedded, position_ids=forest.positions, use_cache=False, packed=packed).last_hidden_state
    return _shifted(hidden, packed) if injection == "softmax" else hidden


def _shifted(h: Tensor, packed: PackedContext) -> Tensor:
    """h [1, T, H] + gamma(t) * W z on the tokens with z, in h's type, as the rollout engine does it."""
    if packed.terms is None:
        return h
    z_tokens, row = packed.forest.z_tokens, packed.forest.latent_of[packed.forest.z_tokens]
    return h.index_add(1, z_tokens, packed.gates[:, None].to(h.dtype) * packed.terms.shift.to(h.dtype)[row][None])


def _hook_norms(block: nn.Module, slot: int) -> None:
    """Norms receive no keywords: every forward of the block, recomputation included, first hands its context over to its norms."""
    held: list[PackedContext | None] = [None]

    def take(_: nn.Module, __: Any, kwargs: dict[str, Any]) -> None:
        held[0] = kwargs.get("packed")

    block.register_forward_pre_hook(take, with_kwargs=True)
    for which, norm in enumerate((block.input_layernorm, block.post_attention_layernorm)):
        norm.register_forward_hook(lambda _, __, h, which=which: _modulate(h, held[0], slot, which))


def _modulate(h: Tensor, packed: PackedContext, slot: int, which: int) -> Tensor:
    """h [1, T, H] * (1 + gamma(t) * tanh(W_n z)) on the tokens with z, in h's type, as the rollout engine does it."""
    if packed.terms is None:
        return h
    z_tokens, row = packed.forest.z_tokens, packed.forest.latent_of[packed.forest.z_tokens]
    factor = 1 + packed.gates[:, None].to(h.dtype) * packed.terms.norm[:, slot, which].to(h.dtype)[row]  # [Z, H]
    return h.index_copy(1, z_tokens, h[:, z_tokens] * factor)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    packed: PackedContext | None = None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """query [1, heads, T, d], key and value [1, kv_heads, T, d]. Returns [1, T, heads, d]. Raises ValueError without a forest."""
    if packed is None or attention_mask is not None:
        raise ValueError("this policy runs on packed forests alone: pass packed=PackedContext and no attention mask")
    slots = None
    if packed.terms is not None and hasattr(module, "psa_slot"):
        slots = tuple(side[:, module.psa_slot].transpose(1, 2).to(key.dtype) for side in (packed.terms.k, packed.terms.v))
    kernel = _by_run if packed.plain_mask is None else _by_block
    return kernel(packed, query, key, value, slots, scaling).transpose(1, 2).contiguous(), None


def _by_run(
    packed: PackedContext, query: Tensor, key: Tensor, value: Tensor, slots: tuple[Tensor, Tensor] | None, scaling: float
) -> Tensor:
    """One SDPA call per run; slots: K_z and V_z, each [R, kv_heads, k_slots, d]."""
    return torch.cat([_attend(run, query, key, value, slots, scaling) for run in packed.forest.runs], dim=2)


def _attend(run: Run, query: Tensor, key: Tensor, value: Tensor, slots: tuple[Tensor, Tensor] | None, scaling: float) -> Tensor:
    query = query[:, :, run.low : run.high]
    carried = slots if run.latent is not None else None
    ranges = (*run.prefix, (run.low, run.high))
    if len(ranges) == 1 and carried is None:
        mine = (side[:, :, run.low : run.high] for side in (key, value))
        return scaled_dot_product_attention(query, *mine, is_causal=True, scale=scaling, enable_gqa=True)
    keys, values = (
        torch.cat([*([] if carried is None else [carried[i][run.latent][None]]), *(side[:, :, a:b] for a, b in ranges)], dim=2)
        for i, side in enumerate((key, value))
    )
    length = run.high - run.low
    before = keys.shape[2] - length
    mask = torch.ones(length, keys.shape[2], dtype=torch.bool, device=query.device).tril(before)
    group = query.shape[1] // keys.shape[1]
    return scaled_dot_product_attention(query, repeat_kv(keys, group), repeat_kv(values, group), attn_mask=mask, scale=scaling)


def _by_block(
    packed: PackedContext, query: Tensor, key: Tensor, value: Tensor, slots: tuple[Tensor, Tensor] | None, scaling: float
) -> Tensor:
    """FlexAttention over the whole row, all slots before the real keys."""
    mask = packed.plain_mask
    if slots is not None:
        key, value = (
            torch.cat([rows.transpose(0, 1).flatten(1, 2)[None], real], dim=2) for rows, real in zip(slots, (key, value), strict=True)
        )
        mask = packed.block_mask
    return _flex_attention()(query, key, value, block_mask=mask, scale=scaling, enable_gqa=True)


@lru_cache(maxsize=1)
def _flex_attention() -> Callable[..., Tensor]:
    """FlexAttention compiled for any number of tokens. Uncompiled it would hold all scores, so running out of graphs is an error."""
    torch._dynamo.config.fail_on_recompile_limit_hit = True
    torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
    return torch.compile(flex_attention, dynamic=True)


def _block_mask(forest: Forest, *, slots: int) -> BlockMask:
    """Which key j a query i sees: slots of its own latent, and real tokens of its own path."""
    exits, latent_of = forest.exits, forest.latent_of
    extra = slots * (0 if forest.latents is None else forest.latents.shape[0])

    def sees(batch: Tensor, head: Tensor, i: Tensor, j: Tensor) -> Tensor:
        real = (j - extra).clamp_min(0)
        on_path = (j >= extra) & (real <= i) & (i < exits[real])
        return on_path | ((j < extra) & (torch.div(j, max(1, slots), rounding_mode="floor") == latent_of[i]))

    return create_block_mask(sees, None, None, forest.tokens, extra + forest.tokens, device=forest.ids.device)
