"""Pseudo self-attention inside the Hugging Face policy (method.md section 1, PSA; maths in latent/psa.py).

`install` once, then pass `psa=PsaContext` to the base model's forward; without it the model is the base model. Rows without z, and
tokens before the fork of a row with z, take the plain SDPA result and a norm factor of exactly 1: bit for bit the base model's values.
The context travels as a keyword argument of every decoder layer, so that activation checkpointing recomputes with the same z.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from ib_lpo.latent.config import PsaConfig
from ib_lpo.latent.psa import PsaShape, PsaTerms, gate

IMPLEMENTATION = "ib_lpo_psa"


@dataclass(frozen=True, slots=True, eq=False)
class PsaContext:
    """z of one batch [B, L]. R = rows with z, n = injected layers in the order of PsaShape.layers."""

    terms: PsaTerms  # k, v [R, n, k_slots, kv_heads, head_dim]; norm [R, n, 2, hidden]
    rows: Tensor  # int64 [R], rows of the batch
    after: Tensor  # bool [R, L], at or after the fork
    gates: Tensor  # float32 [R, L], gamma(t); 0 before the fork


def psa_context(terms: PsaTerms, rows: Tensor, forks: Tensor, length: int, psa: PsaConfig) -> PsaContext:
    """The context of rows (int64 [R]) whose last prefix tokens stand at `forks` (int64 [R]) in a batch of `length` columns."""
    t = torch.arange(length, device=forks.device) - forks[:, None]
    after = t >= 0
    gates = gate(t.clamp_min(0), kind=psa.gate, gamma0=psa.gamma0, tau=psa.tau) * after
    return PsaContext(terms, rows, after, gates)


def install(model: PreTrainedModel, shape: PsaShape) -> None:
    """Give a Qwen2, Qwen3 or Llama model the `psa` keyword. Without it, every value stays bit for bit the SDPA model's. Once per model."""
    AttentionInterface.register(IMPLEMENTATION, _attention)
    AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)
    model.set_attn_implementation(IMPLEMENTATION)
    for slot, layer in enumerate(shape.layers):
        block = model.model.layers[layer]
        block.self_attn.psa_slot = slot
        _hook_norms(block, slot)


def _hook_norms(block: nn.Module, slot: int) -> None:
    """Norms receive no keywords: every forward of the block, recomputation included, first hands its context over to its norms."""
    held: list[PsaContext | None] = [None]

    def take(_: nn.Module, __: Any, kwargs: dict[str, Any]) -> None:
        held[0] = kwargs.get("psa")

    block.register_forward_pre_hook(take, with_kwargs=True)
    for which, norm in enumerate((block.input_layernorm, block.post_attention_layernorm)):
        norm.register_forward_hook(lambda _, __, h, which=which: h if held[0] is None else _modulate(h, held[0], slot, which))


def _modulate(h: Tensor, psa: PsaContext, slot: int, which: int) -> Tensor:
    """h [B, L, H] * (1 + gamma(t) * tanh(W_n z)) on the rows with z, in h's type, as the rollout engine does it."""
    factor = 1 + psa.gates[..., None].to(h.dtype) * psa.terms.norm[:, slot, which, None, :].to(h.dtype)  # [R, L, H]
    return h.index_copy(0, psa.rows, h[psa.rows] * factor)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    psa: PsaContext | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """query [B, heads, L, d], key and value [B, kv_heads, L, d], mask bool [B, 1, L, L] or None for causal. Returns [B, L, heads, d]."""
    output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    if psa is None or not hasattr(module, "psa_slot"):
        return output, None
    mask = None if attention_mask is None else attention_mask.expand(query.shape[0], -1, -1, -1)[psa.rows]
    with_z = _attend_with_slots(module, query[psa.rows], key[psa.rows], value[psa.rows], mask, psa, kwargs["scaling"])
    chosen = torch.where(psa.after[:, :, None, None], with_z, output[psa.rows])
    return output.index_copy(0, psa.rows, chosen), None


def _attend_with_slots(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, psa: PsaContext, scaling: float
) -> Tensor:
    """softmax(Q [K_z ; K]^T scale) [V_z ; V] for rows with z; every token sees the slots here. Returns [R, L, heads, d]."""
    length = query.shape[2]
    key, value = (
        torch.cat([slots[:, module.psa_slot].transpose(1, 2).to(real.dtype), real], dim=2)
        for slots, real in ((psa.terms.k, key), (psa.terms.v, value))
    )
    if mask is None:
        mask = torch.ones(length, length, dtype=torch.bool, device=query.device).tril()[None, None]
    seen = mask.new_ones(()) if mask.dtype == torch.bool else mask.new_zeros(())
    mask = torch.cat([seen.expand(*mask.shape[:-1], key.shape[2] - length), mask], dim=-1)
    key, value = (repeat_kv(x, module.num_key_value_groups) for x in (key, value))
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling).transpose(1, 2)
