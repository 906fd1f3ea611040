"""Prefix encoders: the condition c as a feature vector."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor
from transformers.utils import cached_file

from ib_lpo.errors import UserError
from ib_lpo.policy.config import ModelConfig

_TABLE = "model.embed_tokens.weight"


class EmbeddingEncoder:
    """Mean of the starting policy's input embeddings over the last tokens of a prefix; needs no second model.

    The table is read from the checkpoint once and stays frozen, so that the condition means the same all through a run.
    """

    def __init__(self, model: ModelConfig):
        with safe_open(_file_of(_TABLE, model), "pt") as checkpoint:
            self._table = checkpoint.get_tensor(_TABLE)

    def __call__(self, prefixes: Sequence[np.ndarray], window: int) -> Tensor:
        """Features float32 [N, hidden]; a prefix is cut on the left, so that its fork end is kept."""
        return torch.stack([self._table[torch.from_numpy(p[-window:].astype(np.int64))].float().mean(0) for p in prefixes])


def _file_of(tensor: str, model: ModelConfig) -> Path:
    """The checkpoint file with `tensor`. Raises UserError when there is none."""
    where = {"revision": model.revision}
    index = cached_file(model.path, "model.safetensors.index.json", _raise_exceptions_for_missing_entries=False, **where)
    name = json.loads(Path(index).read_text())["weight_map"].get(tensor) if index else "model.safetensors"
    file = name and cached_file(model.path, name, _raise_exceptions_for_missing_entries=False, **where)
    if not file:
        raise UserError(f"model.path={model.path!r}: no safetensors file with {tensor}; save the model with safe serialization")
    return Path(file)
