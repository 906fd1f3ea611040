"""Decoder layers with PSA for vLLM: one mixin over the Qwen2, Qwen3 and Llama layers.

The slots are ordinary positions of the sequence whose K and V are replaced by K_z and V_z before they reach the paged cache. A layer
that is not injected has the slots in its cache too; there a spare head-dim column (query 1, key -BIG on slots, 0 elsewhere)
gives them a softmax weight of exactly 0.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from vllm.config import VllmConfig, get_current_vllm_config
from vllm.model_executor.layers.attention import Attention
from vllm.model_executor.models.llama import LlamaDecoderLayer
from vllm.model_executor.models.qwen2 import Qwen2DecoderLayer
from vllm.model_executor.models.qwen3 import Qwen3DecoderLayer
from vllm.model_executor.models.utils import extract_layer_index

from ib_lpo.rollout.plugin.spec import PluginSpec


@dataclass(frozen=True, slots=True)
class TokenPsa:
    """PSA of the T tokens of one iteration."""

    rows: Tensor  # int64 [T]
    is_slot: Tensor  # bool [T]
    slot: Tensor  # int64 [T]
    gamma: Tensor  # model dtype [T, 1]
    k: Tensor  # [rows, n, k_slots, kv_heads, head_dim]
    v: Tensor  # like k
    norm: Tensor  # [rows, n, 2, hidden]


class _PsaLayer:
    """Mixin over a vLLM decoder layer; the three architectures differ only in what `self_attn` contains."""

    def init_psa(self, spec: PluginSpec, prefix: str, vllm_config: VllmConfig) -> None:
        self.injected: int | None = None  # index into PsaShape.layers
        self.pad = 0
        if spec.psa is None:
            return
        layers, index = spec.psa.layers, extract_layer_index(prefix)
        self.injected = layers.index(index) if index in layers else None
        if len(layers) < spec.psa.num_layers:
            self._widen_heads(f"{prefix}.self_attn.attn", vllm_config)

    def _widen_heads(self, name: str, vllm_config: VllmConfig) -> None:
        """Rebuild the attention op with the spare columns; 32 is the step CPU head sizes come in, 8 that of FlashAttention."""
        inner = self.self_attn
        self.pad = 32 if vllm_config.device_config.device_type == "cpu" else 8
        del vllm_config.compilation_config.static_forward_context[name]
        inner.attn = Attention(
            inner.num_heads,
            inner.head_dim + self.pad,
            inner.scaling,
            num_kv_heads=inner.num_kv_heads,
            cache_config=vllm_config.cache_config,
            quant_config=vllm_config.quant_config,
            prefix=name,
        )

    def psa_forward(self, positions: Tensor, hidden: Tensor, residual: Tensor | None, psa: TokenPsa | None) -> tuple[Tensor, Tensor]:
        if residual is None:
            residual, hidden = hidden, self.input_layernorm(hidden)
        else:
            hidden, residual = self.input_layernorm(hidden, residual)
        hidden = self._attention(positions, self._modulate(hidden, psa, 0), psa)
        hidden, residual = self.post_attention_layernorm(hidden, residual)
        return self.mlp(self._modulate(hidden, psa, 1)), residual

    def _modulate(self, hidden: Tensor, psa: TokenPsa | None, which: int) -> Tensor:
        if psa is None or self.injected is None:
            return hidden
        return hidden * (1 + psa.gamma * psa.norm[psa.rows, self.injected, which])

    def _attention(self, positions: Tensor, hidden: Tensor, psa: TokenPsa | None) -> Tensor:
        a = self.self_attn
        qkv, _ = a.qkv_proj(hidden)
        q, k, v = qkv.split([a.q_size, a.kv_size, a.kv_size], dim=-1)
        if hasattr(a, "q_norm"):
            q = a.q_norm(q.view(*q.shape[:-1], -1, a.head_dim)).view(q.shape)
            k = a.k_norm(k.view(*k.shape[:-1], -1, a.head_dim)).view(k.shape)
        q, k = a.rotary_emb(positions, q, k)
        if psa is not None and self.injected is not None:
            is_slot = psa.is_slot[:, None]
            k = torch.where(is_slot, psa.k[psa.rows, self.injected, psa.slot].reshape(k.shape), k)
            v = torch.where(is_slot, psa.v[psa.rows, self.injected, psa.slot].reshape(v.shape), v)
        out, _ = a.o_proj(self._attend(q, k, v, psa) if self.pad else a.attn(q, k, v))
        return out

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, psa: TokenPsa | None) -> Tensor:
        a, tokens = self.self_attn, q.shape[0]
        q, k, v = (
            nn.functional.pad(x.view(tokens, heads, a.head_dim), (0, self.pad))
            for x, heads in ((q, a.num_heads), (k, a.num_kv_heads), (v, a.num_kv_heads))
        )
        q[..., a.head_dim] = 1
        if psa is not None and self.injected is None:
            k[..., a.head_dim] = torch.where(psa.is_slot, -1e4 / a.scaling, 0.0).to(k.dtype)[:, None]
        out = a.attn(q.reshape(tokens, -1), k.reshape(tokens, -1), v.reshape(tokens, -1))
        return out.view(tokens, a.num_heads, -1)[..., : a.head_dim].reshape(tokens, -1)


class _QwenPsaLayer(_PsaLayer):
    def __init__(self, config, cache_config=None, quant_config=None, prefix: str = ""):
        super().__init__(config, cache_config=cache_config, quant_config=quant_config, prefix=prefix)
        self.init_psa(PluginSpec.from_config(config), prefix, get_current_vllm_config())


class PsaQwen2Layer(_QwenPsaLayer, Qwen2DecoderLayer):
    """Qwen2 decoder layer with PSA."""


class PsaQwen3Layer(_QwenPsaLayer, Qwen3DecoderLayer):
    """Qwen3 decoder layer with PSA."""


class PsaLlamaLayer(_PsaLayer, LlamaDecoderLayer):
    """Llama decoder layer with PSA."""

    def __init__(self, vllm_config: VllmConfig, prefix: str = ""):
        super().__init__(vllm_config, prefix=prefix)
        self.init_psa(PluginSpec.from_config(vllm_config.model_config.hf_config), prefix, vllm_config)
