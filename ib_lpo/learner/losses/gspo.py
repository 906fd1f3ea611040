"""GSPO: ratio and clip of whole trajectories (arXiv 2507.18071, eqs. 5 and 7)."""

import torch
from torch import Tensor

from ib_lpo.learner.loss_config import GspoLoss
from ib_lpo.learner.losses.base import Loss, TokenBatch, TokenLosses
from ib_lpo.learner.losses.ratio import CLIP_METRICS, clipped_surrogate


def sequence_ratios(tokens: TokenBatch) -> Tensor:
    """s_i = exp(1/|o_i| sum_t (log pi(o_t) - log pi_old(o_t))) of each token's trajectory, dimensionless [N], with gradient.

    |o_i| counts the trajectory's own tokens: of a branch, those after its fork.
    """
    _, own, lengths = torch.unique_consecutive(tokens.sequence, return_inverse=True, return_counts=True)
    gaps = tokens.logprobs - tokens.old_logprobs
    sums = gaps.new_zeros(lengths.numel()).index_add(0, own, gaps)
    return torch.exp(sums / lengths)[own]


def gspo(tokens: TokenBatch, config: GspoLoss) -> TokenLosses:
    """-w_t min(s_i A_t, clip(s_i, 1 - clip_low, 1 + clip_high) A_t) [N]; its mean over the tokens of a trajectory is GSPO's term.

    The clip metrics count the tokens of clipped trajectories, `ratio` sums s_i over tokens.
    """
    return clipped_surrogate(tokens, sequence_ratios(tokens), config)


GSPO = Loss(token_loss=gspo, normaliser="sequence_mean", metrics=CLIP_METRICS)
