"""Choosing tokens among all of a mini-batch.

What is chosen depends on the tokens alone, not on their order, and so neither on packing nor on ranks: sums run over sorted values, and
ties go to the lower draw.
"""

import torch
from torch import Tensor

from ib_lpo.learner.losses.base import StepTokens


def share(fraction: float, count: int) -> int:
    """How many of `count` tokens `fraction` of them is: rounded, at least one, none of none."""
    return min(count, max(1, round(fraction * count)))


def highest(values: Tensor, draw: Tensor, count: int) -> Tensor:
    """bool [M], True at the `count` highest values. `values` and `draw` [M]."""
    by_draw = torch.argsort(draw)
    ranked = by_draw[torch.argsort(values[by_draw], descending=True, stable=True)]
    chosen = torch.zeros_like(values, dtype=torch.bool)
    chosen[ranked[:count]] = True
    return chosen


def covariances(tokens: StepTokens) -> Tensor:
    """Cov_t = (log pi(o_t) - mean log pi) (A_t - mean A), nats, float64 [M], means over all tokens of the step."""
    return _centred(tokens.logprobs) * _centred(tokens.advantages)


def _centred(values: Tensor) -> Tensor:
    exact = values.double()
    return exact - exact.sort().values.mean() if exact.numel() else exact
