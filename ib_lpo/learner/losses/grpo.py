"""GRPO: the clipped surrogate of each token (DeepSeekMath, arXiv 2402.03300, eq. 3)."""

from ib_lpo.learner.loss_config import GrpoLoss
from ib_lpo.learner.losses.base import Loss, TokenBatch, TokenLosses
from ib_lpo.learner.losses.ratio import CLIP_METRICS, clipped_surrogate, token_ratios


def grpo(tokens: TokenBatch, config: GrpoLoss) -> TokenLosses:
    """-w_t min(rho_t A_t, clip(rho_t, 1 - clip_low, 1 + clip_high) A_t) [N].

    The paper averages over the tokens of a trajectory, then over trajectories (eq. 3); its KL term is learner.kl.
    """
    return clipped_surrogate(tokens, token_ratios(tokens), config)


GRPO = Loss(token_loss=grpo, normaliser="sequence_mean", metrics=CLIP_METRICS)
