"""Settings of the learner."""

from typing import Literal

from pydantic import Field

from ib_lpo.learner.loss_config import GrpoLoss, LossConfig
from ib_lpo.section import Section


class AdvantageConfig(Section):
    """Group-relative advantages (method.md sections 2 and 3)."""

    kind: Literal["group_mean", "leave_one_out", "tree", "vine"] = "group_mean"
    """What a reward is compared with: the group's mean, the mean of the others, or the means of the subtrees it belongs to. `vine`: runs of
    tokens between forks, each by the values at its two ends (learner/advantages/vine.py)."""
    path_weights: bool = False
    """Of `vine`: a segment counts in proportion to the share of its tree that passes through it, so that a tree counts like one response;
    false: every generated token counts alike."""
    baseline: Literal["all", "survivors"] = "all"
    """Trajectories whose rewards make the mean: every graded candidate, or only those kept by the filter."""
    normalise_std: bool = False
    """Divide by the standard deviation of the same rewards."""
    overlong_buffer: int = Field(0, ge=0)
    """Tokens before rollout.max_response_tokens over which the reward falls linearly by overlong_penalty (DAPO); 0: off."""
    overlong_penalty: float = Field(1.0, ge=0.0)
    """What a response of full length loses."""
    silent_steps: int = Field(5, ge=1)
    """Alarm threshold: this many steps in a row without any group that has signal."""


class KlConfig(Section):
    """Distance to the frozen starting policy (method.md section 3)."""

    coefficient: float = Field(0.0, ge=0.0)
    """Weight of the KL term; 0: no reference model is loaded."""
    estimator: Literal["k1", "k2", "k3"] = "k3"
    """k1 is taken from the advantages, k2 and k3 are added to the loss."""
    offload: bool = False
    """Keep the reference model in CPU memory between its passes."""


class LearnerConfig(Section):
    """DeepSpeed ZeRO-3 and the optimiser."""

    ranks: int = Field(2, ge=1)
    """Learner processes (one GPU each on CUDA)."""
    lr: float = Field(1e-6, gt=0.0)
    """AdamW learning rate of the policy."""
    psa_lr: float = Field(1e-5, gt=0.0)
    """AdamW learning rate of the PSA maps, trained with latent.offpolicy=condition alone."""
    lr_schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Learning rate after the warm-up, down to 0 at the run's last step."""
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = Field(0.0, ge=0.0)
    warmup_steps: int = Field(0, ge=0)
    """Training steps of linear warm-up."""
    grad_clip: float = Field(1.0, gt=0.0)
    """Global gradient-norm bound."""
    epochs: int = Field(1, ge=1)
    """Passes over a step's trajectories."""
    mini_batches: int = Field(1, ge=1)
    """Optimiser steps per pass: the step's questions are dealt into so many parts. With a single step
    every ratio is 1 and no clip acts."""
    packing: Literal["tree", "flat"] = "tree"
    """`tree`: prefixes that trajectories of a question share are computed once; `flat`: every trajectory on its own."""
    max_tokens_per_micro_batch: int = Field(16384, ge=2)
    """Most tokens of one forward pass and rank."""
    logprob_chunk: int = Field(1024, ge=1)
    """Tokens whose [chunk, vocab] logits exist at one time."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Compute type of learner, engines and scorer alike; `auto`: float32 on CPU, bfloat16 on CUDA."""
    loss: LossConfig = GrpoLoss()
    advantage: AdvantageConfig = AdvantageConfig()
    kl: KlConfig = KlConfig()
    max_logprob_gap: float | None = Field(None, gt=0.0)
    """Largest mean |engine - learner| log-prob difference, nats: above it a run is refused before its first step, and later steps raise an
    alarm; null: by the type that the engines compute in, 1e-3 for float32 and 0.1 for bfloat16."""
