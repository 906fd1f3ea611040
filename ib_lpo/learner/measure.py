"""The measuring pass before an update: log-probs of every trained token under the weights at its start.

Roots are compared with the engine z-free, branches under the z they were generated with, and only tokens that an engine sampled with these
very weights, so the difference is the engines' alone. What z itself changes is `mismatch/z_gap`, what older weights change
`staleness/drift`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from ib_lpo.learner.batch import MicroBatch
from ib_lpo.learner.loss_config import GrpoLoss
from ib_lpo.learner.losses import Loss, StepTokens
from ib_lpo.learner.tally import Tally
from ib_lpo.policy.forest import Forest

SUMS = ("tokens", "entropy", "fresh", "abs", "k3", "drift", "z_tokens", "z_gap")
PEAKS = ("worst",)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A micro-batch and its tokens under the weights at the start of the step; float32 [N], nats."""

    batch: MicroBatch
    old: Tensor  # log-probs as they are trained
    sampled: Tensor  # log-probs as the engine sampled: roots without z, branches under theirs
    entropy: Tensor
    reference: Tensor | None  # z-free log-probs of the frozen reference model


@torch.no_grad()
def measure(
    engine, batch: MicroBatch, *, version: int, conditioned: bool, reference: Callable[[Forest], Tensor] | None, tally: Tally
) -> Measured:
    """One pass as trained, one the other way round for sequences with z, one of the reference: the same passes on every rank. `version` is
    that of the weights."""
    old, entropy = engine(batch.trained)
    other = old
    if batch.opposite is not None:
        other = old.masked_scatter(batch.with_z, engine(batch.opposite)[0])
    sampled = old if conditioned else other
    fresh = batch.versions == version
    every = (sampled - batch.behaviour).double()
    delta = every[fresh]
    tally.add("tokens", float(old.numel()))
    tally.add("entropy", entropy)
    tally.add("fresh", fresh.double())
    tally.add("abs", delta.abs())
    tally.add("k3", torch.expm1(delta) - delta)
    tally.add("drift", every[~fresh].abs())
    tally.add("z_tokens", batch.with_z.double())
    tally.add("z_gap", (other - old).abs())
    tally.peak("worst", delta.abs())
    return Measured(batch, old, sampled, entropy, None if reference is None else reference(batch.plain))


def metrics(totals: dict[str, float]) -> dict[str, float]:
    """`mismatch/...` and `entropy/mean` (nats), and `update/tokens`, the tokens trained, from the totals of all ranks.

    k3 = E[exp(d) - 1 - d], d = learner - engine log-prob: an unbiased, non-negative estimate of KL(engine || learner). Without a token of
    the weights' own version there is no `mismatch` but z's; without an older one no `staleness/drift`.
    """
    tokens, fresh = totals["tokens"], totals["fresh"]
    found = {
        "mismatch/z_gap": totals["z_gap"] / max(1.0, totals["z_tokens"]),
        "entropy/mean": totals["entropy"] / max(1.0, tokens),
        "update/tokens": tokens,
    }
    if fresh or not tokens:
        own = {"mean_abs": totals["abs"] / max(1.0, fresh), "max_abs": totals["worst"], "k3": totals["k3"] / max(1.0, fresh)}
        found |= {f"mismatch/{name}": value for name, value in own.items()}
    return found | ({"staleness/drift": totals["drift"] / (tokens - fresh)} if tokens > fresh else {})


def choose(measured: list[Measured], loss: Loss, config: GrpoLoss) -> list[Tensor]:
    """What the loss chooses among the tokens of all ranks, bool [N] per micro-batch; all of them if it does not choose. Collective."""
    if loss.choose is None:
        return [torch.ones_like(m.batch.with_z) for m in measured]
    rows = [torch.stack([m.old.double(), m.entropy.double(), m.batch.advantages.double(), m.batch.draw], dim=1) for m in measured]
    mine = torch.cat(rows)
    everyone, before = _gather(mine)
    logprobs, entropy, advantages, draw = everyone.unbind(1)
    chosen = loss.choose(StepTokens(logprobs=logprobs, entropy=entropy, advantages=advantages, draw=draw), config)
    return list(chosen[before : before + len(mine)].split([len(row) for row in rows]))


def _gather(mine: Tensor) -> tuple[Tensor, int]:
    """The rows of all ranks in order, and how many of them stand before this rank's. Collective."""
    world, rank = dist.get_world_size(), dist.get_rank()
    counts = [torch.zeros(1, dtype=torch.int64, device=mine.device) for _ in range(world)]
    dist.all_gather(counts, torch.tensor([len(mine)], device=mine.device))
    sizes = [int(count) for count in counts]
    padded = [mine.new_zeros(max(sizes), mine.shape[1]) for _ in range(world)]
    dist.all_gather(padded, torch.cat([mine, mine.new_zeros(max(sizes) - len(mine), mine.shape[1])]))
    return torch.cat([rows[:size] for rows, size in zip(padded, sizes, strict=True)]), sum(sizes[:rank])
