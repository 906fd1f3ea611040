"""PSA models for vLLM: Qwen2, Qwen3 and Llama with per-request latents, real KV-cache slots and no kernel change.

The slots are ordinary positions of the sequence whose K and V are replaced by K_z and V_z before they reach the paged cache. A layer
that is not injected has the slots in its cache too; there a spare head-dim column (query 1, key -BIG on slots, 0 elsewhere)
gives them a softmax weight of exactly 0. Requests without z run through the same code with row 0, which changes no bit.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn
from vllm.compilation.decorators import support_torch_compile
from vllm.config import VllmConfig
from vllm.distributed import get_pp_group, get_tensor_model_parallel_world_size
from vllm.model_executor.layers.attention import Attention
from vllm.model_executor.layers.logits_processor import LogitsProcessor
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead
from vllm.model_executor.models.llama import LlamaDecoderLayer, LlamaModel
from vllm.model_executor.models.qwen2 import Qwen2DecoderLayer, Qwen2Model
from vllm.model_executor.models.qwen3 import Qwen3DecoderLayer
from vllm.model_executor.models.utils import AutoWeightsLoader, extract_layer_index, maybe_prefix
from vllm.sequence import IntermediateTensors

from ib_lpo.latent.psa import PsaMaps
from ib_lpo.rollout.plugin.rows import token_terms
from ib_lpo.rollout.plugin.spec import PluginSpec

_FUSED = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}


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
        from vllm.config import get_current_vllm_config

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


class _PsaBackbone:
    """Mixin over a vLLM decoder stack: its forward, with the latents of the batch."""

    def run(
        self, input_ids: Tensor | None, positions: Tensor, inputs_embeds: Tensor | None, psa_inputs: tuple[Tensor, ...] | None
    ) -> Tensor:
        hidden = self.embed_input_ids(input_ids) if inputs_embeds is None else inputs_embeds
        psa = None
        if psa_inputs is not None:
            rows, k, v, norm, fork = psa_inputs
            is_slot, slot, gamma, positions = token_terms(positions, rows, fork, self.spec)
            psa = TokenPsa(rows, is_slot, slot, gamma.to(hidden.dtype)[:, None], k, v, norm)
        residual = None
        for layer in islice(self.layers, self.start_layer, self.end_layer):
            hidden, residual = layer.psa_forward(positions, hidden, residual, psa)
        hidden, _ = self.norm(hidden, residual)
        return hidden


_DYNAMIC = {"input_ids": 0, "positions": -1, "inputs_embeds": 0, "psa_rows": 0}


def _backbone(base: type, name: str, **layer: type) -> type:
    """A PSA decoder stack of a vLLM decoder stack class; `layer` names the keyword that takes the layer class."""

    class Backbone(_PsaBackbone, base):
        def __init__(self, *, vllm_config: VllmConfig, prefix: str = ""):
            super().__init__(vllm_config=vllm_config, prefix=prefix, **layer)
            self.spec = PluginSpec.from_config(vllm_config.model_config.hf_config)

        def forward(
            self,
            input_ids: Tensor | None,
            positions: Tensor,
            intermediate_tensors: IntermediateTensors | None = None,
            inputs_embeds: Tensor | None = None,
            psa_rows: Tensor | None = None,
            psa_k: Tensor | None = None,
            psa_v: Tensor | None = None,
            psa_norm: Tensor | None = None,
            psa_fork: Tensor | None = None,
        ) -> Tensor:
            psa_inputs = None if psa_rows is None else (psa_rows, psa_k, psa_v, psa_norm, psa_fork)
            return self.run(input_ids, positions, inputs_embeds, psa_inputs)

    Backbone.__name__ = Backbone.__qualname__ = name
    return support_torch_compile(dynamic_arg_dims=_DYNAMIC)(Backbone)


PsaQwen2Model = _backbone(Qwen2Model, "PsaQwen2Model", decoder_layer_type=PsaQwen2Layer)
PsaQwen3Model = _backbone(Qwen2Model, "PsaQwen3Model", decoder_layer_type=PsaQwen3Layer)
PsaLlamaModel = _backbone(LlamaModel, "PsaLlamaModel", layer_type=PsaLlamaLayer)


class _PsaForCausalLM(nn.Module):
    """Language model over a PSA backbone, with the reserved vocabulary rows (plugin/spec.py) and checkpoint-named read-back."""

    packed_modules_mapping = {fused: list(parts) for fused, parts in _FUSED.items()}  # noqa: RUF012, vLLM's own attribute
    embedding_modules = {"embed_tokens": "input_embeddings", "lm_head": "output_embeddings"}  # noqa: RUF012
    backbone: type

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = ""):
        super().__init__()
        config = vllm_config.model_config.hf_config
        if get_tensor_model_parallel_world_size() > 1 or get_pp_group().world_size > 1:
            raise ValueError("PSA models run with one GPU per engine; raise rollout.engines instead of the parallel size")
        self.config = config
        self.spec = PluginSpec.from_config(config)
        self.quant_config = vllm_config.quant_config
        self.model = self.backbone(vllm_config=vllm_config, prefix=maybe_prefix(prefix, "model"))
        self.lm_head = ParallelLMHead(config.vocab_size, config.hidden_size, prefix=maybe_prefix(prefix, "lm_head"))
        if config.tie_word_embeddings:
            self.lm_head = self.lm_head.tie_weights(self.model.embed_tokens)
        self.logits_processor = LogitsProcessor(config.vocab_size)
        self.make_empty_intermediate_tensors = self.model.make_empty_intermediate_tensors
        if self.spec.psa is not None:
            self.psa = PsaMaps(self.spec.psa, dtype=vllm_config.model_config.dtype).requires_grad_(False)
        self.loads = 0  # bumped by every load_weights, so that tables derived from psa.* are known to be old

    @staticmethod
    def get_model_state_cls() -> type:
        """Hook of vLLM's V2 model runner."""
        from ib_lpo.rollout.plugin.runner_v2 import PsaModelState

        return PsaModelState

    def embed_input_ids(self, input_ids: Tensor) -> Tensor:
        return self.model.embed_input_ids(input_ids)

    def forward(self, input_ids, positions, intermediate_tensors=None, inputs_embeds=None, **psa: Tensor) -> Tensor:
        if psa:
            psa["psa_rows"] = psa["psa_rows"][: positions.shape[-1]]
        return self.model(input_ids, positions, intermediate_tensors, inputs_embeds, **psa)

    def compute_logits(self, hidden_states: Tensor) -> Tensor | None:
        logits = self.logits_processor(self.lm_head, hidden_states)
        if logits is not None:
            logits[..., self.spec.vocab :] = float("-inf")
        return logits

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        self.loads += 1
        return AutoWeightsLoader(self).load_weights(self._with_reserved_rows(weights))

    def _with_reserved_rows(self, weights: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
        for name, tensor in weights:
            if name in ("model.embed_tokens.weight", "lm_head.weight") and tensor.shape[0] < self.config.vocab_size:
                tensor = nn.functional.pad(tensor, (0, 0, 0, self.config.vocab_size - tensor.shape[0]))
            yield name, tensor

    def checkpoint_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """The live parameters under their Hugging Face names: fused projections taken apart, reserved rows left out."""
        for name, parameter in self.named_parameters():
            head, _, leaf = name.rpartition(".")
            stem, _, module = head.rpartition(".")
            if module == "qkv_proj":
                attention = self.get_submodule(stem)
                sizes = [attention.q_size, attention.kv_size, attention.kv_size]
            elif module == "gate_up_proj":
                sizes = [parameter.shape[0] // 2] * 2
            else:
                yield name, parameter[: self.spec.vocab] if module in ("embed_tokens", "lm_head") else parameter
                continue
            for part, tensor in zip(_FUSED[module], parameter.split(sizes, dim=0), strict=True):
                yield f"{stem}.{part}.{leaf}", tensor


class PsaQwen2ForCausalLM(_PsaForCausalLM):
    """Qwen2 and Qwen2.5."""

    backbone = PsaQwen2Model


class PsaQwen3ForCausalLM(_PsaForCausalLM):
    """Qwen3."""

    backbone = PsaQwen3Model


class PsaLlamaForCausalLM(_PsaForCausalLM):
    """Llama, SmolLM2."""

    backbone = PsaLlamaModel
