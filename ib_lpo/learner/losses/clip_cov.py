"""Clip-Cov: no gradient through a few tokens whose log-prob and advantage covary much (The Entropy Mechanism, arXiv 2505.22617)."""

from dataclasses import replace

import torch
from torch import Tensor

from ib_lpo.learner.loss_config import ClipCovLoss
from ib_lpo.learner.losses.base import Loss, StepTokens, TokenBatch, TokenLosses
from ib_lpo.learner.losses.grpo import grpo
from ib_lpo.learner.losses.ratio import CLIP_METRICS
from ib_lpo.learner.losses.selection import covariances, highest, share


def choose(tokens: StepTokens, config: ClipCovLoss) -> Tensor:
    """bool [M], tokens with low < Cov_t < high, and of them the `fraction` of all M tokens (at least one) with the lowest draws.

    The authors also leave out tokens beyond the ratio's bounds; under the weights at the start of the step every ratio is 1.
    """
    cov = covariances(tokens)
    eligible = (cov > config.low) & (cov < config.high)
    order = torch.where(eligible, -tokens.draw, -torch.inf)
    return eligible & highest(order, tokens.draw, share(config.fraction, tokens.draw.numel()))


def clip_cov(tokens: TokenBatch, config: ClipCovLoss) -> TokenLosses:
    """GRPO's value, and 0 without gradient where chosen [N]. `chosen`: the number of tokens without gradient."""
    policy = grpo(replace(tokens, advantages=tokens.advantages.masked_fill(tokens.chosen, 0.0)), config)
    return replace(policy, metrics=policy.metrics | {"chosen": tokens.chosen.sum()})


CLIP_COV = Loss(token_loss=clip_cov, normaliser="token_mean", metrics=(*CLIP_METRICS, "chosen"), choose=choose)
