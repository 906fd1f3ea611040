"""The Hugging Face side of the policy: configuration, weights and tokenizer.

Only architectures whose attention and norms the PSA model knows are accepted, so that engine, learner and scorer can never
disagree about what z does. Every problem is one line that names `model.path` and the fix. A process says once that it is about to run
code of a model (`model.trust_remote_code`).
"""

from collections.abc import Callable, Sequence
from functools import cache

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from ib_lpo.errors import UserError
from ib_lpo.policy.config import ModelConfig
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
        raise _unreadable(model, "config.json", error) from None
    if config.model_type not in ARCHITECTURES:
        raise PolicyError(
            f"model.path={model.path!r}: architecture {config.model_type!r} is not supported; use one of {', '.join(ARCHITECTURES)}"
        )
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        raise PolicyError(f"model.path={model.path!r}: sliding-window layers are not supported; set use_sliding_window to false")
    return config


def load_policy(model: ModelConfig, *, dtype: torch.dtype, device: str) -> PreTrainedModel:
    """The causal language model with SDPA attention, in `dtype` on `device`, in evaluation mode. Raises PolicyError."""
    config = load_config(model)
    config.attention_dropout = 0.0  # the attention layers copy it when they are built
    try:
        policy = AutoModelForCausalLM.from_pretrained(
            model.path,
            config=config,
            revision=model.revision,
            trust_remote_code=model.trust_remote_code,
            dtype=dtype,
            attn_implementation="sdpa",
        )
    except (OSError, ValueError) as error:
        raise _unreadable(model, "weights", error) from None
    return policy.to(device).eval()


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
