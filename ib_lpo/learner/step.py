"""One optimiser step over a rank's micro-batches of a mini-batch, independent of how the tokens are packed and of the number of ranks.

DeepSpeed averages gradients over ranks, so each micro-batch contributes its sum times world / denominator of all ranks. A gradient that is
not finite is never applied: the step is skipped and counted.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ib_lpo.learner import zero
from ib_lpo.learner.config import KlConfig
from ib_lpo.learner.loss_config import LossConfig
from ib_lpo.learner.losses import KL_LOSSES, LOSSES, Loss, TokenBatch, k1_advantages, normaliser_of
from ib_lpo.learner.losses.kl import k1
from ib_lpo.learner.losses.terms import LatentWeights, effective_share, importance_weights, self_reward
from ib_lpo.learner.measure import Measured
from ib_lpo.learner.packing import Totals
from ib_lpo.learner.tally import Tally
from ib_lpo.manifest import Manifest

_LATENT_WEIGHTS: dict[str, LatentWeights] = {"truncated_is": "token", "sequence_is": "sequence"}  # by latent.offpolicy
_SUMS = ("policy", "self_reward", "kl", "kl_penalty", "weight", "weight_square", "capped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What is minimised: the normalised loss, plus the KL term, minus `self_reward_weight` times the mean of A_t H_t."""

    config: LossConfig
    kl: KlConfig
    latent_is: LatentWeights  # weigh by what z changes
    self_reward_weight: float
    max_response_tokens: int

    @classmethod
    def of(cls, manifest: Manifest) -> "Objective":
        return cls(
            config=manifest.learner.loss,
            kl=manifest.learner.kl,
            latent_is=_LATENT_WEIGHTS.get(manifest.latent.offpolicy, "none"),
            self_reward_weight=manifest.ib.self_reward_weight if manifest.ib.self_reward in ("loss", "both") else 0.0,
            max_response_tokens=manifest.rollout.max_response_tokens,
        )

    @property
    def loss(self) -> Loss:
        return LOSSES[self.config.kind]

    @property
    def without_signal(self) -> bool:
        """Whether there is something to learn where every advantage is 0: an entropy bonus, or a pull to the reference."""
        return self.loss.without_signal or self.kl.coefficient > 0

    @property
    def sums(self) -> tuple[str, ...]:
        """What a Tally for `take_step` counts."""
        return (*_SUMS, *self.loss.metrics)

    def denominator(self, totals: Totals) -> float:
        """What per-token losses are divided by."""
        return normaliser_of(self.config).denominator(totals.tokens, totals.sequences, self.max_response_tokens)


def take_step(
    engine, measured: list[Measured], chosen: list[Tensor], objective: Objective, *, totals: Totals, world: int, tally: Tally
) -> float | None:
    """Backward over the micro-batches of a mini-batch, then one step. Returns the gradient norm before clipping,
    or None when it was not finite."""
    zero.fresh_gradients(engine)
    for item, of_item in zip(measured, chosen, strict=True):
        logprobs, entropy = engine(item.batch.trained)
        loss = _loss(item, of_item, logprobs, entropy, objective, totals, tally)
        engine.backward(loss * world, scale_wrt_gas=False)
    return zero.apply(engine)


def _loss(item: Measured, chosen: Tensor, logprobs: Tensor, entropy: Tensor, objective: Objective, totals: Totals, tally: Tally) -> Tensor:
    batch, config, kl = item.batch, objective.config, objective.kl
    weights = importance_weights(
        item.old,
        item.sampled,
        batch.behaviour,
        engine=config.engine_is,
        latent=objective.latent_is,
        sequence=batch.sequence,
        cap=config.is_cap,
    )
    advantages = batch.advantages
    if item.reference is not None and kl.estimator == "k1":
        advantages = k1_advantages(advantages, item.old, item.reference, kl.coefficient)
    losses = objective.loss.token_loss(
        TokenBatch(
            logprobs=logprobs,
            entropy=entropy,
            old_logprobs=item.old,
            weights=weights,
            advantages=advantages,
            sequence=batch.sequence,
            chosen=chosen,
        ),
        config,
    )
    share = normaliser_of(config).weights(batch.sequence) / objective.denominator(totals)
    policy, reward = (share * losses.values).sum(), self_reward(batch.advantages, entropy) / totals.tokens
    divergence = _divergence(item, logprobs, kl)
    penalty = (share * divergence).sum() * (kl.coefficient if kl.estimator in KL_LOSSES else 0.0)
    terms = {"policy": policy, "self_reward": reward, "kl": divergence, "kl_penalty": penalty, "weight": weights}
    _count(tally, losses.metrics | terms, config.is_cap)
    return policy + penalty - objective.self_reward_weight * reward


def _divergence(item: Measured, logprobs: Tensor, kl: KlConfig) -> Tensor:
    """The KL estimate of every token, [N]; zeros without a reference."""
    if item.reference is None:
        return torch.zeros_like(logprobs)
    return KL_LOSSES.get(kl.estimator, k1)(logprobs, item.reference)


def _count(tally: Tally, sums: dict[str, Tensor], cap: float) -> None:
    weights = sums["weight"]
    tally.add("weight_square", weights**2)
    tally.add("capped", (weights >= cap).double())
    for name, value in sums.items():
        tally.add(name, value)


def metrics(totals: dict[str, float], objective: Objective, *, steps: int, tokens: float) -> dict[str, float]:
    """`loss/...` and `is/...`, means over `steps` optimiser steps, which trained `tokens` tokens together, from the totals of all ranks."""
    found = {
        "loss/policy": totals["policy"] / steps,
        "loss/self_reward": -objective.self_reward_weight * totals["self_reward"] / steps,
        "is/weight": totals["weight"] / tokens,
        "is/capped": totals["capped"] / tokens,
        "is/effective_share": effective_share(totals["weight"], totals["weight_square"], tokens),
    }
    if objective.kl.coefficient:
        found |= {"loss/kl": totals["kl"] / tokens, "loss/kl_penalty": totals["kl_penalty"] / steps}
    return found | {f"loss/{name}": totals[name] / tokens for name in objective.loss.metrics}
