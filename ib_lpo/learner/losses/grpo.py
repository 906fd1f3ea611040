"""GRPO with clip-higher, token level (method.md section 3)."""

import torch

from ib_lpo.learner.config import LossConfig
from ib_lpo.learner.losses.base import LossSums, TokenBatch


def grpo(tokens: TokenBatch, config: LossConfig) -> LossSums:
    """-sum_t w_t * min(rho_t A_t, clip(rho_t, 1 - clip_low, 1 + clip_high) A_t), rho_t = pi(o_t) / pi_old(o_t).

    Metrics: `clip_low`, `clip_high` (tokens whose gradient the bound removes), `ratio`.
    """
    ratio = torch.exp(tokens.logprobs - tokens.old_logprobs)
    bounded = ratio.clamp(1 - config.clip_low, 1 + config.clip_high)
    gain = torch.minimum(ratio * tokens.advantages, bounded * tokens.advantages)
    free = ratio.detach()
    return LossSums(
        policy=-(tokens.weights * gain).sum(),
        metrics={
            "clip_low": ((free < 1 - config.clip_low) & (tokens.advantages < 0)).sum(),
            "clip_high": ((free > 1 + config.clip_high) & (tokens.advantages > 0)).sum(),
            "ratio": free.sum(),
        },
    )
