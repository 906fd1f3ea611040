"""Terms that any loss may carry: importance weights of off-policy tokens and the entropy self-reward."""

from typing import Literal

import torch
from torch import Tensor

LatentWeights = Literal["none", "token", "sequence"]
"""What is corrected of the tokens that a branch sampled under z: nothing, each token alone, or the whole suffix."""


def importance_weights(
    trained_old: Tensor,
    sampled_old: Tensor,
    behaviour: Tensor,
    *,
    engine: bool,
    latent: LatentWeights,
    sequence: Tensor,
    cap: float,
) -> Tensor:
    """min(C, exp([engine] (sampled_old - behaviour) + [latent] (trained_old - sampled_old))) per token, no gradient (method.md section 3).

    With both corrections and `latent: token` this is min(C, pi_old(o|no z) / pi_behaviour(o|z)) of the token alone; with `latent: sequence`
    the second difference is summed over all trained tokens of the trajectory: what a reward is worth depends on all of them. All [N],
    log-probs in nats of the weights at the start of the step: `trained_old` as the loss trains them, `sampled_old` with the z they were
    sampled with, `behaviour` what the engine reported; `sequence` int64, ascending, the trajectory of each token.
    """
    gap = torch.zeros_like(trained_old)
    if engine:
        gap = gap + sampled_old - behaviour
    if latent == "token":
        gap = gap + trained_old - sampled_old
    elif latent == "sequence":
        gap = gap + _sums(trained_old - sampled_old, sequence)
    return torch.exp(gap).clamp_max(cap).detach()


def _sums(values: Tensor, sequence: Tensor) -> Tensor:
    """For every token the sum over its trajectory, [N]."""
    _, own, lengths = torch.unique_consecutive(sequence, return_inverse=True, return_counts=True)
    sums = torch.zeros(lengths.numel(), dtype=torch.float64, device=values.device).index_add(0, own, values.double())
    return sums[own].to(values.dtype)


def self_reward(advantages: Tensor, entropy: Tensor) -> Tensor:
    """sum_t A_t H_t, a scalar with gradient through H: the `advantage_entropy` form of S_IB (method.md section 2)."""
    return (advantages * entropy).sum()


def effective_share(weight_sum: float, square_sum: float, count: float) -> float:
    """Effective sample size over sample size, (sum w)^2 / (n sum w^2), within (0, 1]; 0 without tokens."""
    return weight_sum**2 / (count * square_sum) if count and square_sum else 0.0
