"""Terms that any loss may carry: importance weights of off-policy tokens and the entropy self-reward."""

import torch
from torch import Tensor


def importance_weights(trained_old: Tensor, sampled_old: Tensor, behaviour: Tensor, *, engine: bool, latent: bool, cap: float) -> Tensor:
    """min(C, exp([engine] (sampled_old - behaviour) + [latent] (trained_old - sampled_old))) per token, no gradient.

    With both corrections this is min(C, pi_old(o|no z) / pi_behaviour(o|z)) of method.md section 3. All [N], log-probs in nats of the
    weights at the start of the step: `trained_old` as the loss trains them, `sampled_old` with the z they were sampled with, `behaviour`
    what the engine reported. `engine` corrects what engine and learner differ by, `latent` what z changes.
    """
    gap = torch.zeros_like(trained_old)
    if engine:
        gap = gap + sampled_old - behaviour
    if latent:
        gap = gap + trained_old - sampled_old
    return torch.exp(gap).clamp_max(cap).detach()


def self_reward(advantages: Tensor, entropy: Tensor) -> Tensor:
    """sum_t A_t H_t, a scalar with gradient through H: the `advantage_entropy` form of S_IB (method.md section 2)."""
    return (advantages * entropy).sum()


def effective_share(weight_sum: float, square_sum: float, count: float) -> float:
    """Effective sample size over sample size, (sum w)^2 / (n sum w^2), within (0, 1]; 0 without tokens."""
    return weight_sum**2 / (count * square_sum) if count and square_sum else 0.0
