"""Decoder layers with PSA for vLLM: one mixin over the Qwen2, Qwen3 and Llama layers.

The slots are ordinary positions of the sequence whose K and V are replaced by K_z and V_z before they reach the paged cache. A layer
that is not injected has the slots in its cache too; there spare head-dim columns (query 1, key 0, but -BIG in one of them on slots)
give them a softmax weight of exactly 0.
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
    is_slot: Tensor | None  # bool [T]; None: no token is known to be a slot
    slot: Tensor  # int64 [T]
    gamma: Tensor  # model dtype [T, 1]
    k: Tensor  # [rows, n, k_slots, kv heads of this rank, head_dim]
    v: Tensor  # like k
    norm: Tensor  # [n, 2, rows, hidden]
    shift: Tensor  # [rows, hidden]; [rows, 0] for psa

    def shifted(self, hidden: Tensor) -> Tensor:
        """hidden [T, hidden] + gamma(t) * W z on the tokens from the fork on."""
        return torch.addcmul(hidden, self.gamma, self.shift.index_select(0, self.rows))


class _PsaLayer:
    """Mixin over a vLLM decoder layer; the three architectures differ only in what `self_attn` contains."""

    def init_psa(self, spec: PluginSpec, prefix: str, vllm_config: VllmConfig) -> None:
        self.injected: int | None = None  # index into MapShape.layers
        self.pad = 0
        if spec.maps is None:
            return
        layers, index = spec.maps.layers, extract_layer_index(prefix)
        self.injected = layers.index(index) if index in layers else None
        if len(layers) < spec.maps.num_layers:
            self._widen_heads(f"{prefix}.self_attn.attn", vllm_config)

    def _widen_heads(self, name: str, vllm_config: VllmConfig) -> None:
        """Rebuild the attention op with the spare columns: up to the next head size on CPU; 8 are FlashAttention's step."""
        inner = self.self_attn
        self.pad = 8
        if vllm_config.device_config.device_type == "cpu":
            from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

            self.pad = min(size for size in CPUAttentionBackend.get_supported_head_sizes() if size > inner.head_dim) - inner.head_dim
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
        return torch.addcmul(hidden, psa.gamma * hidden, psa.norm[self.injected, which].index_select(0, psa.rows))

    def _attention(self, positions: Tensor, hidden: Tensor, psa: TokenPsa | None) -> Tensor:
        a = self.self_attn
        qkv, _ = a.qkv_proj(hidden)
        q, k, v = qkv.split([a.q_size, a.kv_size, a.kv_size], dim=-1)
        if hasattr(a, "q_norm"):
            q = a.q_norm(q.view(*q.shape[:-1], -1, a.head_dim)).view(q.shape)
            k = a.k_norm(k.view(*k.shape[:-1], -1, a.head_dim)).view(k.shape)
        q, k = a.rotary_emb(positions, q, k)
        if psa is not None and psa.is_slot is not None and self.injected is not None:
            is_slot = psa.is_slot[:, None]
            k = torch.where(is_slot, psa.k[psa.rows, self.injected, psa.slot].reshape(k.shape), k)
            v = torch.where(is_slot, psa.v[psa.rows, self.injected, psa.slot].reshape(v.shape), v)
        out, _ = a.o_proj(self._attend(q, k, v, psa) if self.pad else a.attn(q, k, v))
        return out

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, psa: TokenPsa | None) -> Tensor:
        a, tokens = self.self_attn, q.shape[0]
        q, k, v = (
            nn.functional.pad(x.view(tokens, heads, a.head_dim), (0, self.pad), value=spare)
            for x, heads, spare in ((q, a.num_heads, 1), (k, a.num_kv_heads, 0), (v, a.num_kv_heads, 0))
        )
        if psa is not None and psa.is_slot is not None and self.injected is None:
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
