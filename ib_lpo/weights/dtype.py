"""The type of the policy's copies in engines and scorers, and so of the weights on the wire."""

import torch

from ib_lpo.manifest import Manifest
from ib_lpo.policy.dtype import compute_dtype


def copy_dtype(manifest: Manifest, device: str) -> torch.dtype:
    """`weights.dtype`, by default the learner's compute type."""
    named = manifest.weights.dtype
    return compute_dtype(manifest.learner, device) if named is None else getattr(torch, named)
