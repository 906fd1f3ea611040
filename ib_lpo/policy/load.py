"""The Hugging Face side of the policy: configuration, weights and tokenizer.

Only architectures whose attention and norms the PSA model knows are accepted, so that engine, learner and scorer can never
disagree about what z does. Every problem is one line that names `model.path` and the fix. A process says once that it is about to run
code of a model (`model.trust_remote_code`).
"""

import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from ib_lpo.errors import UserError
from ib_lpo.policy.config import ModelConfig
from ib_lpo.policy.identity import model_file
from ib_lpo.progress import say

ARCHITECTURES = ("qwen2", "qwen3", "llama")  # model_type


class PolicyError(UserError):
    """A policy that cannot be loaded; one line: key, value, fix."""


def load_config(model: ModelConfig) -> PretrainedConfig:
    """The transformers config. Raises PolicyError for a missing model or an unsupported architecture."""
    _tell_of_code(model)
    try:
        config = AutoConfig.from_pretrained(model.path, revision=model.revision, trust_remote_code=model.trust_remote_code)
    except (OSError, ValueError) as error:
        raise adapter_error(model) or _unreadable(model, "config.json", error) from None
    if config.model_type not in ARCHITECTURES:
        raise PolicyError(
            f"model.path={model.path!r}: architecture {config.model_type!r} is not supported; use one of {', '.join(ARCHITECTURES)}"
        )
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        raise PolicyError(f"model.path={model.path!r}: sliding-window layers are not supported; set use_sliding_window to false")
    if method := getattr(config, "quantization_config", None):
        name = method.get("quant_method", "some method") if isinstance(method, dict) else getattr(method, "quant_method", "some method")
        raise PolicyError(f"model.path={model.path!r}: its weights are quantised ({name}), which cannot be trained; give the original ones")
    return config


def load_policy(model: ModelConfig, *, dtype: torch.dtype, device: str) -> PreTrainedModel:
    """The causal language model with SDPA attention, in `dtype` on `device`, in evaluation mode. Raises PolicyError."""
    config = load_config(model)
    config.attention_dropout = 0.0  # the attention layers copy it when they are built
    try:
        policy, found = AutoModelForCausalLM.from_pretrained(
            model.path,
            config=config,
            revision=model.revision,
            trust_remote_code=model.trust_remote_code,
            dtype=dtype,
            attn_implementation="sdpa",
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError, EOFError) as error:  # damaged files, wrong shapes
        raise adapter_error(model) or _unreadable(model, "weights", error) from None
    _require_whole(model, policy, found)
    return policy.to(device).eval()


def _require_whole(model: ModelConfig, policy: PreTrainedModel, found: dict[str, Any]) -> None:
    """Raise PolicyError when transformers made up a part of the weights, passed some over, or put an adapter on top of them: what
    policy/weights.py finds before anything starts is not trained here either."""
    for kind, what in (("missing_keys", "lack"), ("mismatched_keys", "have another shape of"), ("unexpected_keys", "have no place for")):
        if names := sorted(str(name) for name in found.get(kind) or ()):
            raise PolicyError(
                f"model.path={model.path!r}: its weights {what} {names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}; give "
                "whole weights and the config.json that belongs to them"
            )
    if getattr(policy, "_hf_peft_config_loaded", False):
        raise PolicyError(f"model.path={model.path!r}: the adapter beside its weights would be applied; move adapter_config.json away")


def adapter_base(model: ModelConfig) -> str | None:
    """The base model of the adapter that lies at `model.path`; None when none does."""
    file = model_file(model, "adapter_config.json")
    if file is None:
        return None
    try:
        base = json.loads(file.read_text()).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError):  # damaged, or no mapping: it is named as an adapter all the same
        base = None
    return str(base or "unknown")


def adapter_error(model: ModelConfig) -> PolicyError | None:
    """The error for a path that holds an adapter and no model; None for any other."""
    if (base := adapter_base(model)) is None:
        return None
    return PolicyError(
        f"model.path={model.path!r}: is an adapter (LoRA, PEFT) of {base!r}, not a model; merge it into that one (peft: merge_and_unload, "
        "then save_pretrained) and give the merged directory"
    )


def load_tokenizer(model: ModelConfig) -> PreTrainedTokenizerBase:
    """The tokenizer beside the model. Raises PolicyError."""
    _tell_of_code(model)
    try:
        return AutoTokenizer.from_pretrained(model.path, revision=model.revision, trust_remote_code=model.trust_remote_code)
    except (OSError, ValueError) as error:
        raise _unreadable(model, "tokenizer", error) from None


def text_decoder(tokenizer: PreTrainedTokenizerBase) -> Callable[[Sequence[int]], str]:
    """Token ids to text, the one way of the whole run: special tokens stay and nothing is tidied, so what is graded is what is cut."""
    return lambda ids: tokenizer.decode(ids, clean_up_tokenization_spaces=False)


def _tell_of_code(model: ModelConfig) -> None:
    if model.trust_remote_code:
        _say_trusted(model.path)


@cache
def _say_trusted(path: str) -> None:
    say(f"model.trust_remote_code=true: Python code that comes with {path} is run, with all that this user may do")


def _unreadable(model: ModelConfig, part: str, error: Exception) -> PolicyError:
    cause = " ".join(str(error).split())[:300]
    return PolicyError(
        f"model.path={model.path!r}: its {part} cannot be loaded ({cause}); give a local directory with config.json, weights and "
        "tokenizer, or a hub id that this machine can reach"
    )
