"""What every loss takes and gives: one number per token. Normalisers and sums come after it and are the same for all losses.

A loss looks at the tokens of whole trajectories, and `choose` at all tokens of the step on all ranks. Loss, gradient and metrics are
therefore independent of micro-batching, packing order and number of ranks.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenBatch:
    """N trained tokens of S whole trajectories; float [N] in nats unless said otherwise. Only the first two carry gradient."""

    logprobs: Tensor  # log pi(o) under the weights being trained
    entropy: Tensor  # H of the raw distribution under the weights being trained
    old_logprobs: Tensor  # as `logprobs`, of the weights at the start of the step
    weights: Tensor  # truncated importance weights, or 1
    advantages: Tensor
    sequence: Tensor  # int64 [N], 0..S-1, ascending: the trajectory of each token
    chosen: Tensor  # bool [N], what the loss's `choose` returned; all True without one


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepTokens:
    """All M trained tokens of a mini-batch on all ranks, under the weights at its start; no gradient."""

    logprobs: Tensor  # float [M], nats
    entropy: Tensor  # float [M], nats
    advantages: Tensor  # float [M]
    draw: Tensor  # float64 [M], uniform in [0, 1), a function of seed, step, trajectory and position alone


@dataclass(frozen=True, slots=True, eq=False)
class TokenLosses:
    """One loss value per token, to be minimised, and sums over tokens to be reported as means."""

    values: Tensor  # [N], with gradient
    metrics: dict[str, Tensor] = field(default_factory=dict)  # scalars without gradient; names as in Loss.metrics


class TokenLoss(Protocol):
    def __call__(self, tokens: TokenBatch, config: Any) -> TokenLosses: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """An entry of the registry."""

    token_loss: TokenLoss
    normaliser: str  # name in NORMALISERS of what the loss's paper averages over, for `normaliser: own`
    metrics: tuple[str, ...]  # names of TokenLosses.metrics
    choose: Callable[[StepTokens, Any], Tensor] | None = None  # bool [M]
    without_signal: bool = False  # has a gradient even where every advantage is 0
