"""PSA models for vLLM: Qwen2, Qwen3 and Llama with per-request latents, real KV-cache slots and no kernel change.

Requests without z run through the same code with row 0, which changes no bit. The layers are in plugin/layers.py.
"""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor, nn
from vllm.compilation.decorators import support_torch_compile
from vllm.config import VllmConfig
from vllm.distributed import get_pp_group, get_tensor_model_parallel_world_size
from vllm.model_executor.layers.logits_processor import LogitsProcessor
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead
from vllm.model_executor.models.llama import LlamaModel
from vllm.model_executor.models.qwen2 import Qwen2Model
from vllm.model_executor.models.utils import maybe_prefix
from vllm.sequence import IntermediateTensors

from ib_lpo.latent.injection import LatentMaps
from ib_lpo.rollout.plugin.layers import PsaLlamaLayer, PsaQwen2Layer, PsaQwen3Layer, TokenPsa
from ib_lpo.rollout.plugin.rows import token_terms
from ib_lpo.rollout.plugin.spec import PluginSpec

_FUSED = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}


_DYNAMIC = {"input_ids": 0, "positions": -1, "inputs_embeds": 0, "psa_rows": 0}


def _backbone(base: type, name: str, **layer: type) -> type:
    """A PSA decoder stack of a vLLM decoder stack class; `layer` names the keyword that takes the layer class."""

    class Backbone(base):
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
            psa_shift: Tensor | None = None,
            psa_fork: Tensor | None = None,
            psa_slots: bool = True,  # False: the caller knows that no token is a slot
        ) -> Tensor:
            hidden = self.embed_input_ids(input_ids) if inputs_embeds is None else inputs_embeds
            psa = None
            if psa_rows is not None:
                is_slot, slot, gamma, positions = token_terms(positions, psa_rows, psa_fork, self.spec)
                is_slot = is_slot if psa_slots else None
                psa = TokenPsa(psa_rows, is_slot, slot, gamma.to(hidden.dtype)[:, None], psa_k, psa_v, psa_norm, psa_shift)
                if self.spec.maps.injection == "input":
                    hidden = psa.shifted(hidden)
            residual = None
            for layer in islice(self.layers, self.start_layer, self.end_layer):
                hidden, residual = layer.psa_forward(positions, hidden, residual, psa)
            hidden, _ = self.norm(hidden, residual)
            if psa is not None and self.spec.maps.injection == "softmax":
                hidden = psa.shifted(hidden)
            return hidden

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
        if self.spec.maps is not None:
            self.maps = LatentMaps(self.spec.maps, dtype=vllm_config.model_config.dtype).requires_grad_(False)
        self.loads = 0  # bumped by every update of the weights, so that tables derived from maps.* are known to be old

    @staticmethod
    def get_model_state_cls() -> type:
        """Hook of vLLM's V2 model runner."""
        from ib_lpo.rollout.plugin.runner_v2 import PsaModelState

        return PsaModelState

    def embed_input_ids(self, input_ids: Tensor) -> Tensor:
        return self.model.embed_input_ids(input_ids)

    def forward(self, input_ids, positions, intermediate_tensors=None, inputs_embeds=None, **psa: Tensor | bool) -> Tensor:
        if psa:
            psa["psa_rows"] = psa["psa_rows"][: positions.shape[-1]]
        return self.model(input_ids, positions, intermediate_tensors, inputs_embeds, **psa)

    def compute_logits(self, hidden_states: Tensor) -> Tensor | None:
        logits = self.logits_processor(self.lm_head, hidden_states)
        if logits is not None:
            logits[..., self.spec.vocab :] = float("-inf")
        return logits

    @torch.no_grad()
    def clear_reserved_rows(self) -> None:
        """Zeros in the vocabulary rows that no checkpoint has."""
        for table in {id(t): t for t in (self.model.embed_tokens.weight, self.lm_head.weight)}.values():
            table[self.spec.vocab :] = 0

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
