"""What every loss takes and gives: sums over tokens, so that a global token mean is a division by one global count.

Sums of disjoint token sets add up. Loss, gradient and metrics are therefore independent of micro-batching and of the number of ranks.
"""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ib_lpo.learner.config import LossConfig


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenBatch:
    """N trained tokens; everything float32 [N] in nats, and only `logprobs` and `entropy` carry gradient."""

    logprobs: Tensor  # log pi(o|no z) under the weights being trained
    entropy: Tensor  # H of the raw distribution under the weights being trained
    old_logprobs: Tensor  # log pi_old(o|no z), of the weights at the start of the step
    weights: Tensor  # truncated importance weights, or 1
    advantages: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class LossSums:
    """Sums over the tokens of a batch."""

    policy: Tensor  # scalar with gradient, to be divided by the global token count
    metrics: dict[str, Tensor]  # scalars without gradient, each a sum over tokens


class Loss(Protocol):
    """A policy-gradient loss."""

    def __call__(self, tokens: TokenBatch, config: LossConfig) -> LossSums: ...
