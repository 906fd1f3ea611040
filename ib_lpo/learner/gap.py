"""How far engine and learner log-probs may be apart."""

import torch

from ib_lpo.learner.config import LearnerConfig
from ib_lpo.manifest import Manifest
from ib_lpo.weights.dtype import copy_dtype

_BY_DTYPE = {torch.float32: 1e-3, torch.bfloat16: 0.1}  # nats, mean over tokens; of two implementations that compute the same


def most_gap(manifest: Manifest, device: str) -> float:
    """`learner.max_logprob_gap`, by default that of the type which the engines compute in. `device`: "cpu" or "cuda"."""
    said = manifest.learner.max_logprob_gap
    return _BY_DTYPE[copy_dtype(manifest, device)] if said is None else said


def with_gap(manifest: Manifest, device: str) -> LearnerConfig:
    """The learner's settings with that limit."""
    return manifest.learner.model_copy(update={"max_logprob_gap": most_gap(manifest, device)})
