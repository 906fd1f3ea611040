"""KL-Cov: a KL penalty on the tokens whose log-prob and advantage covary most (The Entropy Mechanism, arXiv 2505.22617)."""

from torch import Tensor

from ib_lpo.learner.loss_config import KlCovLoss
from ib_lpo.learner.losses.base import Loss, StepTokens, TokenBatch, TokenLosses
from ib_lpo.learner.losses.ratio import token_ratios
from ib_lpo.learner.losses.selection import covariances, highest, share


def choose(tokens: StepTokens, config: KlCovLoss) -> Tensor:
    """bool [M], the `fraction` of all tokens (at least one) with the highest covariance."""
    return highest(covariances(tokens), tokens.draw, share(config.fraction, tokens.draw.numel()))


def kl_cov(tokens: TokenBatch, config: KlCovLoss) -> TokenLosses:
    """-w_t rho_t A_t, plus coefficient * |log pi(o_t) - log pi_old(o_t)| where chosen [N]; no clip, as in the authors' code.

    The penalty carries no importance weight. It is 0 while pi = pi_old, so it acts from the second optimiser step of a training step on
    (learner.mini_batches or epochs > 1). Metrics: `ratio`, the sum of rho_t; `chosen`, the number of penalised tokens.
    """
    ratios = token_ratios(tokens)
    penalty = config.coefficient * (tokens.logprobs - tokens.old_logprobs).abs() * tokens.chosen
    return TokenLosses(
        values=-tokens.weights * ratios * tokens.advantages + penalty,
        metrics={"ratio": ratios.detach().sum(), "chosen": tokens.chosen.sum()},
    )


KL_COV = Loss(token_loss=kl_cov, normaliser="token_mean", metrics=("ratio", "chosen"), choose=choose)
