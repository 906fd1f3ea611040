"""Terms that any loss may carry: importance weights of off-policy tokens and the entropy self-reward."""

import torch
from torch import Tensor


def truncated_weights(old_logprobs: Tensor, behaviour: Tensor, cap: float) -> Tensor:
    """min(C, pi_old(o|no z) / pi_behaviour(o|z)) per token, no gradient (method.md section 3). All [N], log-probs in nats."""
    return torch.exp(old_logprobs - behaviour).clamp_max(cap).detach()


def self_reward(advantages: Tensor, entropy: Tensor) -> Tensor:
    """sum_t A_t H_t, a scalar with gradient through H: the `advantage_entropy` form of S_IB (method.md section 2)."""
    return (advantages * entropy).sum()


def effective_share(weight_sum: float, square_sum: float, count: float) -> float:
    """Effective sample size over sample size, (sum w)^2 / (n sum w^2), within (0, 1]; 0 without tokens."""
    return weight_sum**2 / (count * square_sum) if count and square_sum else 0.0
