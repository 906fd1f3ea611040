"""The learning rate as a function of the training step alone.

The rank sets it before each training step, so nothing counts along: epochs, steps without signal, skipped steps and resumed runs all get
the rate that belongs to their number.
"""

import math
from collections.abc import Callable

from ib_lpo.learner.config import LearnerConfig

DECAYS: dict[str, Callable[[float], float]] = {
    "constant": lambda remaining: 1.0,
    "linear": lambda remaining: remaining,
    "cosine": lambda remaining: math.sin(0.5 * math.pi * remaining) ** 2,
}
"""Factor by the share of the run after the warm-up that remains, 1 to 0."""


def rate_factor(step: int, *, warmup_steps: int, total_steps: int, kind: str) -> float:
    """What the full rate is multiplied with in training step `step`; steps count from 1 to `total_steps`.

    Rises in equal parts to 1 in step `warmup_steps`, then decays so that it would be 0 in the step after the last (`constant`: stays 1).
    Positive in every step of the run. A run shorter than its warm-up ends within it. Raises ValueError for a step below 1.
    """
    if step < 1:
        raise ValueError(f"training step {step}: steps count from 1")
    if step < warmup_steps:
        return step / warmup_steps
    end = total_steps + 1
    return DECAYS[kind](max(0, end - step) / max(1, end - max(1, warmup_steps)))


def rates(config: LearnerConfig, step: int, total_steps: int) -> dict[str, float]:
    """Learning rates of training step `step` by parameter group (`policy`, `psa`). Raises ValueError for a step below 1."""
    factor = rate_factor(step, warmup_steps=config.warmup_steps, total_steps=total_steps, kind=config.lr_schedule)
    return {"policy": config.lr * factor, "psa": config.psa_lr * factor}
