"""Settings of `ib-lpo latent fit`."""

from typing import Literal

from pydantic import Field

from ib_lpo.data.config import SourceConfig
from ib_lpo.section import Section


class FitConfig(Section):
    """Training of the CVAE, and with objective lm of the maps of z, before RL (method.md section 1, the latent model)."""

    objective: Literal["lm", "lars"] = "lm"
    """`lm`: E_q[-log pi(s|c, z)] + beta KL(q(z|c,s) || p(z|c)) through the frozen policy; `lars`: the encoded s instead of its tokens,
    by a decoder of its own, so that no policy is run and the maps stay untrained."""
    data: SourceConfig | None = None
    """Questions with solutions (`solution_column`); null: data.train."""
    steps: int = Field(400, ge=1)
    """Optimiser steps."""
    solutions_per_step: int = Field(8, ge=1)
    """Solutions of one step."""
    pairs_per_solution: int = Field(2, ge=1)
    """Pairs (condition, target) of one solution in a step, each split at another step boundary, as far as it has that many."""
    max_target_tokens: int = Field(256, ge=1)
    """Tokens of a target beyond these are cut off (counted in `fit/cut_targets`). The posterior reads the last
    latent.encoder.window of them."""
    min_target_tokens: int = Field(8, ge=1)
    """A boundary that leaves less of a target is not split at, nor is one beyond rollout.max_response_tokens, where nothing forks."""
    max_tokens_per_pass: int = Field(4096, ge=1)
    """Tokens of one forward pass through the policy, which memory grows with; a step takes as many passes as it needs."""
    hidden: int = Field(256, ge=1)
    """Width of the prior's and the posterior's network."""
    lr: float = Field(1e-3, gt=0.0)
    """AdamW learning rate of networks and maps. Weight decay is 0.01, betas are 0.9 and 0.999."""
    grad_clip: float = Field(1.0, gt=0.0)
    """Largest gradient norm."""
    beta: float = Field(1.0, gt=0.0)
    """Weight of the KL term at the end of each cycle."""
    beta_cycles: int = Field(4, ge=1)
    """Cycles of beta over all steps: in each it rises linearly from 0 and then stays (cyclical annealing, arXiv 1903.10145)."""
    beta_ramp: float = Field(0.5, ge=0.0, le=1.0)
    """Share of a cycle in which beta rises."""
    free_bits: float = Field(0.02, ge=0.0)
    """KL per dimension, nats, mean over a step's pairs, below which it costs nothing more to keep (arXiv 1606.04934)."""
    held_out: int = Field(64, ge=2)
    """Solutions that are never trained on, drawn from all; reports are of them, and their standard errors fall with the number."""
    every: int = Field(50, ge=1)
    """Steps between reports and checkpoints."""
    min_active_units: int = Field(1, ge=0)
    """A latent with fewer active dimensions has collapsed; one is active when its posterior mean varies and its KL is above twice
    free_bits."""
    min_use: float = 0.0
    """A latent has collapsed unless a pair's own z explains its target better than another pair's z does, by two standard errors more than
    this, nats."""
