"""Settings of the learner."""

from typing import Literal

from pydantic import Field

from ib_lpo.section import Section


class LossConfig(Section):
    """The policy-gradient loss (method.md section 3)."""

    kind: Literal["grpo"] = "grpo"
    """Name in the loss registry."""
    clip_low: float = Field(0.2, gt=0.0, lt=1.0)
    """Lower clip: ratio >= 1 - clip_low."""
    clip_high: float = Field(0.28, gt=0.0)
    """Upper clip: ratio <= 1 + clip_high (clip-higher)."""
    is_cap: float = Field(2.0, gt=0.0)
    """C, the cap of the truncated importance weight."""


class AdvantageConfig(Section):
    """Group-relative advantages."""

    baseline: Literal["all", "survivors"] = "all"
    """Trajectories whose rewards make the group mean: every graded candidate, or only those kept by the filter."""
    normalise_std: bool = False
    """Divide by the group's standard deviation."""


class LearnerConfig(Section):
    """DeepSpeed ZeRO-3 and the optimiser."""

    ranks: int = Field(2, ge=1)
    """Learner processes (one GPU each on CUDA)."""
    lr: float = Field(1e-6, gt=0.0)
    """AdamW learning rate."""
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = Field(0.0, ge=0.0)
    warmup_steps: int = Field(0, ge=0)
    """Steps of linear warm-up."""
    grad_clip: float = Field(1.0, gt=0.0)
    """Global gradient-norm bound."""
    epochs: int = Field(1, ge=1)
    """Passes over a step's trajectories; each pass is one optimiser step."""
    micro_batch: int = Field(8, ge=1)
    """Trajectories per forward pass and rank."""
    logprob_chunk: int = Field(1024, ge=1)
    """Tokens whose [chunk, vocab] logits exist at one time."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Compute type of learner, engines and scorer alike; `auto`: float32 on CPU, bfloat16 on CUDA."""
    loss: LossConfig = LossConfig()
    advantage: AdvantageConfig = AdvantageConfig()
    max_logprob_gap: float = Field(1.0, gt=0.0)
    """Alarm threshold, nats: largest mean |engine - learner| log-prob difference that is no alarm."""


class CheckpointConfig(Section):
    """When the learner's state is saved."""

    every: int = Field(10, ge=0)
    """Steps between checkpoints; 0 turns them off. The last step is always saved unless 0."""
    keep: int = Field(2, ge=1)
    """Newest complete checkpoints that stay on disk."""
