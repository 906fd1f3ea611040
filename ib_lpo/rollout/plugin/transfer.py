"""Weights into a live PSA model and back out, by checkpoint name.

Engines hold their weights unquantised and undivided, in the checkpoint's layout, so an update is one copy per tensor into the memory that
the model computes with: no module is rebuilt, and captured CUDA graphs stay right. What an update wrote is what the fingerprint reads.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from ib_lpo.weights.fingerprint import fingerprint
from ib_lpo.weights.inbox import load


def live_tensors(model: torch.nn.Module) -> dict[str, Tensor]:
    """The tensors that the model computes with."""
    return dict(model.checkpoint_tensors())


def load_staged(staged: Iterator[tuple[str, Tensor]], model: torch.nn.Module) -> None:
    """Copy staged tensors into a PSA model, in place."""
    load(live_tensors(model), staged)
    model.clear_reserved_rows()
    model.loads += 1


def read_fingerprints(model: torch.nn.Module) -> dict[str, int]:
    """Fingerprints of a PSA model's live parameters."""
    return {name: fingerprint(tensor) for name, tensor in model.checkpoint_tensors()}
