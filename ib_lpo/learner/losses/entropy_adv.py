"""Entropy-Adv: a larger advantage where the policy hesitates (Reasoning with Exploration: An Entropy Perspective, arXiv 2506.14758)."""

from dataclasses import replace

import torch

from ib_lpo.learner.loss_config import EntropyAdvLoss
from ib_lpo.learner.losses.base import Loss, TokenBatch, TokenLosses
from ib_lpo.learner.losses.grpo import grpo
from ib_lpo.learner.losses.ratio import CLIP_METRICS


def entropy_adv(tokens: TokenBatch, config: EntropyAdvLoss) -> TokenLosses:
    """GRPO's value with A_t + min(alpha * sg(H_t), |A_t| / kappa) for A_t [N], H_t in nats, sg = stop gradient.

    A token without advantage stays without, and kappa > 1 keeps every advantage's sign.
    """
    raised = torch.minimum(config.alpha * tokens.entropy.detach(), tokens.advantages.abs() / config.kappa)
    return grpo(replace(tokens, advantages=tokens.advantages + raised), config)


ENTROPY_ADV = Loss(token_loss=entropy_adv, normaliser="token_mean", metrics=CLIP_METRICS)
