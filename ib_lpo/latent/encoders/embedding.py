"""The starting policy's own input embeddings, averaged: an encoder that needs no second model.

The table is read from the checkpoint once and stays frozen, so that the condition means the same all through a run.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F
from transformers.utils import cached_file

from ib_lpo.errors import UserError
from ib_lpo.latent.config import EncoderConfig
from ib_lpo.policy.config import ModelConfig

TABLE = "model.embed_tokens.weight"  # of all architectures that can be a policy


class EmbeddingEncoder:
    """Mean of the input embeddings of a prefix's last `window` tokens, summed in float32."""

    def __init__(self, config: EncoderConfig, model: ModelConfig, device: str = "cpu"):
        """Raises UserError when the policy's checkpoint has no table."""
        with safe_open(checkpoint_file(TABLE, model), "pt") as checkpoint:
            self._table = checkpoint.get_tensor(TABLE).to(device)  # [vocabulary, hidden], in the checkpoint's dtype
        self._window = config.window
        self.features = self._table.shape[1]

    @torch.no_grad()
    def __call__(self, prefixes: Sequence[np.ndarray]) -> Tensor:
        """Features float32 [N, hidden] on the CPU; only the rows that occur are widened. Raises ValueError for an empty prefix."""
        if not len(prefixes):
            return torch.zeros(0, self.features)
        kept = [prefix[-self._window :] for prefix in prefixes]
        if not all(len(ids) for ids in kept):
            raise ValueError("an empty prefix has no features; a prefix holds at least one token")
        starts = torch.from_numpy(np.cumsum([0, *(len(ids) for ids in kept[:-1])]))
        occurring, rows = torch.from_numpy(np.concatenate(kept).astype(np.int64)).to(self._table.device).unique(return_inverse=True)
        return F.embedding_bag(rows, self._table[occurring].float(), starts.to(rows.device), mode="mean").cpu()


def checkpoint_file(tensor: str, model: ModelConfig) -> Path:
    """The checkpoint file with `tensor`. Raises UserError when there is none."""
    where = {"revision": model.revision}
    index = cached_file(model.path, "model.safetensors.index.json", _raise_exceptions_for_missing_entries=False, **where)
    name = json.loads(Path(index).read_text())["weight_map"].get(tensor) if index else "model.safetensors"
    file = name and cached_file(model.path, name, _raise_exceptions_for_missing_entries=False, **where)
    if not file:
        raise UserError(f"model.path={model.path!r}: no safetensors file with {tensor}; save the model with safe serialization")
    return Path(file)
