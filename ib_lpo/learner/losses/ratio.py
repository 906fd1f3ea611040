"""The ratio rho_t = pi(o_t) / pi_old(o_t) and the clipped surrogate, from which most losses are made.

A token whose advantage is 0 has value 0 and no gradient, and no bound counts it: a loss that trains on some tokens alone sets the
advantages of the others to 0.
"""

import torch
from torch import Tensor

from ib_lpo.learner.loss_config import GrpoLoss
from ib_lpo.learner.losses.base import TokenBatch, TokenLosses

CLIP_METRICS = ("clip_low", "clip_high", "ratio")


def token_ratios(tokens: TokenBatch) -> Tensor:
    """rho_t, dimensionless [N], with gradient. 1 in the first optimiser step of a training step, so bounds act from the second on."""
    return torch.exp(tokens.logprobs - tokens.old_logprobs)


def clipped_surrogate(tokens: TokenBatch, ratios: Tensor, config: GrpoLoss) -> TokenLosses:
    """-w_t min(rho_t A_t, clip(rho_t, 1 - clip_low, 1 + clip_high) A_t) [N], of PPO (Schulman et al., arXiv 1707.06347).

    Metrics: `clip_low`, `clip_high`, the number of tokens whose gradient the bound removes; `ratio`, the sum of rho_t.
    """
    advantages, free = tokens.advantages, ratios.detach()
    bounded = ratios.clamp(1 - config.clip_low, 1 + config.clip_high)
    gain = torch.minimum(ratios * advantages, bounded * advantages)
    return TokenLosses(
        values=-tokens.weights * gain,
        metrics={
            "clip_low": ((free < 1 - config.clip_low) & (advantages < 0)).sum(),
            "clip_high": ((free > 1 + config.clip_high) & (advantages > 0)).sum(),
            "ratio": free.sum(),
        },
    )
