"""A sentence encoder over the text of a prefix: mask-aware mean of its last hidden states, scaled to length 1.

That is what models of the all-MiniLM family are trained for (mean pooling, then Normalize, in their modules.json). The policy's special
tokens are left out of the text: chat markers would be spelled out as words the encoder never saw. Text is cut on the left, so that the
fork end of a long prefix is kept.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ib_lpo.errors import UserError
from ib_lpo.latent.config import EncoderConfig
from ib_lpo.policy.config import ModelConfig
from ib_lpo.policy.load import load_tokenizer

_TOKENS_PER_PASS = 8192  # padding included


class SentenceEncoder:
    """Any transformers encoder whose sentence vector is the mean over its tokens."""

    def __init__(self, config: EncoderConfig, model: ModelConfig, device: str = "cpu"):
        """Raises UserError for an encoder that cannot be loaded, or a window without room for text."""
        self._policy_tokenizer = load_tokenizer(model)
        self._network, self._tokenizer = _load(config)
        self._network = self._network.to(device).eval()
        self._limit = _limit(config, self._network, self._tokenizer)
        self.features = self._network.config.hidden_size

    @torch.no_grad()
    def __call__(self, prefixes: Sequence[np.ndarray]) -> Tensor:
        """Features float32 [N, features] on the CPU, each of length 1. Raises ValueError for an empty prefix."""
        found = torch.zeros(len(prefixes), self.features)
        ids = self._ids(prefixes)
        for members in _passes([len(row) for row in ids]):
            padded = self._tokenizer.pad({"input_ids": [ids[i] for i in members]}, return_tensors="pt").to(self._network.device)
            hidden = self._network(**padded).last_hidden_state  # [n, longest, features]
            found[members] = F.normalize(mean_over(hidden, padded["attention_mask"]), dim=-1).cpu()
        return found

    def _ids(self, prefixes: Sequence[np.ndarray]) -> list[list[int]]:
        """The encoder's own token ids of every prefix, its special tokens around the kept end of the text."""
        if not all(len(prefix) for prefix in prefixes):
            raise ValueError("an empty prefix has no features; a prefix holds at least one token")
        decode = self._policy_tokenizer.decode
        texts = [decode(prefix.tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False) for prefix in prefixes]
        return self._tokenizer(texts, truncation=True, max_length=self._limit)["input_ids"] if texts else []


def mean_over(hidden: Tensor, mask: Tensor) -> Tensor:
    """Mean [n, features] of hidden states [n, T, features] where `mask` [n, T] is 1; padding counts for nothing."""
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1)


def _passes(lengths: list[int]) -> Iterator[list[int]]:
    """Indices in passes of similar length, each of at most _TOKENS_PER_PASS padded tokens or of one text."""
    members: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if members and (len(members) + 1) * lengths[index] > _TOKENS_PER_PASS:
            yield members
            members = []
        members.append(index)
    if members:
        yield members


def _load(config: EncoderConfig) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Network (float32) and tokenizer, which cuts on the left. Raises UserError, also for weights that are not all there."""
    if config.path is None:
        raise _unusable(config, "no path is given")
    where = {"revision": config.revision}
    try:
        tokenizer = AutoTokenizer.from_pretrained(config.path, truncation_side="left", padding_side="right", **where)
        network, report = AutoModel.from_pretrained(config.path, dtype=torch.float32, output_loading_info=True, **where)
    except (OSError, ValueError, SafetensorError) as error:
        raise _unusable(config, " ".join(str(error).split())[:200]) from None
    if missing := sorted(name for name in report["missing_keys"] if not name.startswith("pooler.")):  # the pooler is not used
        raise _unusable(config, f"{len(missing)} weights are missing, {missing[0]} first")
    return network, tokenizer


def _limit(config: EncoderConfig, network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens of one text, special tokens included: `window`, or what the encoder has positions for. Raises UserError."""
    limit = min(config.window, tokenizer.model_max_length, network.config.max_position_embeddings)
    special = tokenizer.num_special_tokens_to_add()
    if limit <= special:
        raise UserError(f"latent.encoder.window={config.window}: {special} tokens of it are the encoder's own; set more than {special}")
    return limit


def _unusable(config: EncoderConfig, cause: str) -> UserError:
    return UserError(
        f"latent.encoder.path={config.path!r}: no usable sentence encoder ({cause}); give the hub id or directory of one, such as the "
        "one that `python tools/fetch_minilm.py` fetches"
    )
