"""One optimiser step over a rank's micro-batches: global token mean, independent of micro-batching and of the number of ranks.

DeepSpeed averages gradients over ranks, so each micro-batch contributes its sum times world / global tokens. A gradient that is not
finite is never applied: the step is skipped and counted.
"""

from dataclasses import dataclass

import torch

from ib_lpo.learner.config import LossConfig
from ib_lpo.learner.losses import LOSSES, TokenBatch
from ib_lpo.learner.losses.terms import effective_share, self_reward, truncated_weights
from ib_lpo.learner.measure import Measured
from ib_lpo.learner.tally import Tally

SUMS = ("policy", "self_reward", "clip_low", "clip_high", "ratio", "weight", "weight_square", "capped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What is minimised: the policy loss minus `self_reward_weight` times the mean of A_t H_t."""

    loss: LossConfig
    truncated_is: bool
    self_reward_weight: float


def take_step(engine, measured: list[Measured], objective: Objective, *, tokens: float, world: int, tally: Tally) -> float | None:
    """Backward over all micro-batches, then one step. Returns the gradient norm before clipping, or None when it was not finite."""
    engine.optimizer.grad_partitions_flat_buffer.zero_()  # a parameter without gradient would get the previous step's again
    for item in measured:
        logprobs, entropy = engine(item.batch.ids, item.batch.source, item.batch.targets)
        loss = _loss(item, logprobs, entropy, objective, tally)
        engine.backward(loss * (world / tokens), scale_wrt_gas=False)
    engine.step()
    return float(engine.get_global_grad_norm()) if engine.was_step_applied() else None


def _loss(item: Measured, logprobs: torch.Tensor, entropy: torch.Tensor, objective: Objective, tally: Tally) -> torch.Tensor:
    batch, config = item.batch, objective.loss
    weights = torch.ones_like(item.old_logprobs)
    if objective.truncated_is:
        weights = truncated_weights(item.old_logprobs, batch.behaviour, config.is_cap)
    sums = LOSSES[config.kind](
        TokenBatch(logprobs=logprobs, entropy=entropy, old_logprobs=item.old_logprobs, weights=weights, advantages=batch.advantages),
        config,
    )
    reward = self_reward(batch.advantages, entropy)
    tally.add("policy", sums.policy)
    tally.add("self_reward", reward)
    tally.add("weight", weights)
    tally.add("weight_square", weights**2)
    tally.add("capped", (weights >= config.is_cap).double())
    for name, value in sums.metrics.items():
        tally.add(name, value)
    return sums.policy - objective.self_reward_weight * reward


def metrics(totals: dict[str, float], count: float, weight: float) -> dict[str, float]:
    """`loss/...` and `is/...` from the totals of all ranks; `count` = tokens times epochs, `weight` = the self-reward's lambda."""
    return {
        "loss/policy": totals["policy"] / count,
        "loss/self_reward": -weight * totals["self_reward"] / count,
        "loss/clip_low": totals["clip_low"] / count,
        "loss/clip_high": totals["clip_high"] / count,
        "loss/ratio": totals["ratio"] / count,
        "is/weight": totals["weight"] / count,
        "is/capped": totals["capped"] / count,
        "is/effective_share": effective_share(totals["weight"], totals["weight_square"], count),
    }
