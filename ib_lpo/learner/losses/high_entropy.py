"""80/20: gradient on the most uncertain tokens alone (Beyond the 80/20 Rule, arXiv 2506.01939)."""

from dataclasses import replace

from torch import Tensor

from ib_lpo.learner.loss_config import HighEntropyLoss
from ib_lpo.learner.losses.base import Loss, StepTokens, TokenBatch, TokenLosses
from ib_lpo.learner.losses.grpo import grpo
from ib_lpo.learner.losses.ratio import CLIP_METRICS
from ib_lpo.learner.losses.selection import highest, share


def choose(tokens: StepTokens, config: HighEntropyLoss) -> Tensor:
    """bool [M], the `fraction` of all tokens (at least one) with the highest entropy."""
    return highest(tokens.entropy, tokens.draw, share(config.fraction, tokens.draw.numel()))


def high_entropy(tokens: TokenBatch, config: HighEntropyLoss) -> TokenLosses:
    """GRPO's value where chosen, 0 elsewhere [N]. The sum is still divided by all tokens, as in the paper, so gradients get smaller.

    `chosen`: the number of tokens that are trained on.
    """
    policy = grpo(replace(tokens, advantages=tokens.advantages.masked_fill(~tokens.chosen, 0.0)), config)
    return replace(policy, metrics=policy.metrics | {"chosen": tokens.chosen.sum()})


HIGH_ENTROPY = Loss(token_loss=high_entropy, normaliser="token_mean", metrics=(*CLIP_METRICS, "chosen"), choose=choose)
