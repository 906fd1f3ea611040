"""CISPO: the ratio is a bounded weight, and every token keeps its gradient (MiniMax-M1, arXiv 2506.13585, eqs. 4 and 5)."""

from ib_lpo.learner.loss_config import CispoLoss
from ib_lpo.learner.losses.base import Loss, TokenBatch, TokenLosses
from ib_lpo.learner.losses.ratio import CLIP_METRICS, token_ratios


def cispo(tokens: TokenBatch, config: CispoLoss) -> TokenLosses:
    """-w_t sg(clip(rho_t, 1 - clip_low, 1 + clip_high)) A_t log pi(o_t) [N], sg = stop gradient.

    Metrics: `clip_low`, `clip_high`, the number of tokens whose weight the bound changes; `ratio`, the sum of rho_t.
    """
    free = token_ratios(tokens).detach()
    bounded = free.clamp(1 - config.clip_low, 1 + config.clip_high)
    return TokenLosses(
        values=-tokens.weights * bounded * tokens.advantages * tokens.logprobs,
        metrics={
            "clip_low": (free < 1 - config.clip_low).sum(),
            "clip_high": (free > 1 + config.clip_high).sum(),
            "ratio": free.sum(),
        },
    )


CISPO = Loss(token_loss=cispo, normaliser="token_mean", metrics=CLIP_METRICS)
