"""The measuring pass before an update: old log-probs of every trained token, and how far the engine is from the learner.

Roots are compared z-free, branches under the z they were generated with, so the difference is the engines' alone; what z itself
changes is `mismatch/z_gap`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ib_lpo.latent.config import PsaConfig
from ib_lpo.latent.psa import PsaMaps
from ib_lpo.learner.batch import MicroBatch
from ib_lpo.learner.tally import Tally
from ib_lpo.policy.psa_attention import PsaContext, psa_context

SUMS = ("tokens", "signal", "entropy", "abs", "k3", "z_tokens", "z_gap")
PEAKS = ("worst",)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A micro-batch and its z-free log-probs under the weights at the start of the step, float32 [N]."""

    batch: MicroBatch
    old_logprobs: Tensor


def context_of(batch: MicroBatch, maps: PsaMaps | None, psa: PsaConfig) -> PsaContext | None:
    """The PSA context of a micro-batch; None when no sequence has a z."""
    if not batch.rows.numel():
        return None
    if maps is None:
        raise ValueError("a trajectory carries a latent, but latent.kind is none; use the manifest that generated it")
    terms = maps(batch.latents.to(maps.kv.dtype))
    return psa_context(terms, batch.rows, batch.forks, batch.ids.shape[1], psa)


@torch.no_grad()
def measure(engine, batch: MicroBatch, maps: PsaMaps | None, psa: PsaConfig, tally: Tally) -> Measured:
    """One forward pass z-free and, when latents are on, one with z: on every rank, whatever its shard holds."""
    free, entropy = engine(batch.ids, batch.source, batch.targets)
    sampled = free
    if maps is not None:
        with_z, _ = engine(batch.ids, batch.source, batch.targets, psa=context_of(batch, maps, psa))
        sampled = torch.where(batch.with_z, with_z, free)
    delta = (sampled - batch.behaviour).double()
    tally.add("tokens", float(batch.targets.numel()))
    tally.add("signal", (batch.advantages != 0).double())
    tally.add("entropy", entropy)
    tally.add("abs", delta.abs())
    tally.add("k3", torch.expm1(delta) - delta)
    tally.add("z_tokens", batch.with_z.double())
    tally.add("z_gap", (sampled - free).abs())
    tally.peak("worst", delta.abs())
    return Measured(batch, free)


def metrics(totals: dict[str, float], alarm: float) -> dict[str, float]:
    """`mismatch/...` and `entropy/mean` (nats) from the totals of all ranks; `alarm` is learner.max_logprob_gap.

    k3 = E[exp(d) - 1 - d], d = learner - engine log-prob: an unbiased, non-negative estimate of KL(engine || learner).
    """
    tokens = max(1.0, totals["tokens"])
    mean = totals["abs"] / tokens
    return {
        "mismatch/mean_abs": mean,
        "mismatch/max_abs": totals["worst"],
        "mismatch/k3": totals["k3"] / tokens,
        "mismatch/z_gap": totals["z_gap"] / max(1.0, totals["z_tokens"]),
        "mismatch/alarm": float(mean > alarm),
        "entropy/mean": totals["entropy"] / tokens,
    }
