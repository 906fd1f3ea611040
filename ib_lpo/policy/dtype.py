"""The one compute type of a run: learner, engines and scorer hold the weights in it, or a publish could not be verified."""

import torch

from ib_lpo.learner.config import LearnerConfig


def compute_dtype(config: LearnerConfig, device: str) -> torch.dtype:
    """`learner.dtype`, with `auto` resolved."""
    if config.dtype == "auto":
        return torch.bfloat16 if device.startswith("cuda") else torch.float32
    return getattr(torch, config.dtype)
