"""What per-token losses are averaged over: loss = sum_t weight_t value_t / denominator, the denominator being that of all ranks.

The length of a trajectory is the number of tokens it is trained on: of a branch its own tokens after the fork, as the shared prefix
is trained once, with its root. Trajectories are those with at least one trained token.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ib_lpo.learner.loss_config import GrpoLoss
from ib_lpo.learner.losses.registry import LOSSES


@dataclass(frozen=True, slots=True, kw_only=True)
class Normaliser:
    """An entry of the registry."""

    weights: Callable[[Tensor], Tensor]
    """From `sequence` (int64 [N], ascending, the trajectory of each token; trajectories whole) to float64 [N]."""
    denominator: Callable[[float, float, int], float]
    """From trained tokens, trajectories and rollout.max_response_tokens, the first two of the step on all ranks; 0 when it has none."""


def _ones(sequence: Tensor) -> Tensor:
    return torch.ones_like(sequence, dtype=torch.float64)


def _reciprocal_lengths(sequence: Tensor) -> Tensor:
    _, own, lengths = torch.unique_consecutive(sequence, return_inverse=True, return_counts=True)
    return lengths.double().reciprocal()[own]


NORMALISERS: dict[str, Normaliser] = {
    "token_mean": Normaliser(weights=_ones, denominator=lambda tokens, sequences, budget: tokens),
    "sequence_mean": Normaliser(weights=_reciprocal_lengths, denominator=lambda tokens, sequences, budget: sequences),
    "constant": Normaliser(weights=_ones, denominator=lambda tokens, sequences, budget: sequences * budget),
}


def normaliser_of(config: GrpoLoss) -> Normaliser:
    """The one that `config.normaliser` names; `own` is that of the loss's paper."""
    return NORMALISERS[LOSSES[config.kind].normaliser if config.normaliser == "own" else config.normaliser]
