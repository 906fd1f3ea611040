"""Entropy-Reg: GRPO with an entropy bonus, as in A3C (arXiv 1602.01783) and PPO (arXiv 1707.06347)."""

from dataclasses import replace

from ib_lpo.learner.loss_config import EntropyRegLoss
from ib_lpo.learner.losses.base import Loss, TokenBatch, TokenLosses
from ib_lpo.learner.losses.grpo import grpo
from ib_lpo.learner.losses.ratio import CLIP_METRICS


def entropy_reg(tokens: TokenBatch, config: EntropyRegLoss) -> TokenLosses:
    """GRPO's value minus coefficient * H_t [N], H_t in nats with gradient; the bonus carries no importance weight."""
    policy = grpo(tokens, config)
    return replace(policy, values=policy.values - config.coefficient * tokens.entropy)


ENTROPY_REG = Loss(token_loss=entropy_reg, normaliser="token_mean", metrics=CLIP_METRICS, without_signal=True)
