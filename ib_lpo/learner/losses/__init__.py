"""Policy losses: values per token (one small file each), what they are averaged over, and the terms any of them may carry."""

from ib_lpo.learner.losses.base import Loss, StepTokens, TokenBatch, TokenLosses
from ib_lpo.learner.losses.kl import KL_LOSSES, k1_advantages
from ib_lpo.learner.losses.normalisers import NORMALISERS, Normaliser, normaliser_of
from ib_lpo.learner.losses.registry import LOSSES

__all__ = [
    "KL_LOSSES",
    "LOSSES",
    "NORMALISERS",
    "Loss",
    "Normaliser",
    "StepTokens",
    "TokenBatch",
    "TokenLosses",
    "k1_advantages",
    "normaliser_of",
]
