"""One learner rank: a shard of the policy, its optimiser state, and its share of every step.

All public methods after `connect` are collective: the LearnerGroup calls them on all ranks at once, in the same order. No rank
decides anything from its own shard; decisions come from totals over all ranks.
"""

import json
import time
from collections import deque
from pathlib import Path
from typing import Any

from ib_lpo.errors import UserError
from ib_lpo.fleet.base import Fleet, Worker
from ib_lpo.learner import measure, step
from ib_lpo.learner.batch import TrainSequence, micro_batches
from ib_lpo.learner.tally import Tally
from ib_lpo.manifest import Manifest

_TAG = "learner"


class CheckpointError(UserError):
    """A checkpoint that this group of ranks cannot continue from; says why and what to do."""


class LearnerRank:
    """A worker; plain class, imports DeepSpeed only in `connect`."""

    def __init__(self, manifest: Manifest, rank: int, world: int, device: str):
        self._manifest = manifest
        self._rank, self._world, self._device = rank, world, device
        self._objective = step.Objective(
            loss=manifest.learner.loss,
            truncated_is=manifest.latent.offpolicy == "truncated_is",
            self_reward_weight=manifest.ib.self_reward_weight if manifest.ib.self_reward == "loss" else 0.0,
        )
        self._engine: Any = None  # deepspeed.DeepSpeedEngine once connected
        self._last_step = -1

    def endpoint(self) -> tuple[str, int]:
        """An address of this machine that other machines reach, and a port that is free now."""
        from ib_lpo.learner import zero

        return zero.free_endpoint()

    def connect(self, host: str, port: int) -> None:
        """Join the group at rank 0's endpoint and build the engine. Raises PolicyError for a model that cannot be loaded."""
        from ib_lpo.learner import model, zero
        from ib_lpo.policy.dtype import compute_dtype

        zero.join_group(host, port, rank=self._rank, world=self._world, deadline_s=self._manifest.cluster.group_deadline_s)
        dtype = compute_dtype(self._manifest.learner, self._device)
        module, maps = model.build_policy(self._manifest, dtype)
        self._policy = module.policy
        self._maps = None if maps is None else maps.to(self._device)
        self._engine = zero.build_engine(module, self._manifest.learner, dtype, self._device)

    def update(self, shard: list[TrainSequence], number: int) -> dict[str, float]:
        """One training step over this rank's shard (equally many sequences on all ranks). Returns the metrics of all ranks together.

        Without a token of non-zero advantage anywhere the weights stay as they are, bit for bit, and `update/no_signal` is 1.
        """
        began = time.monotonic()
        config = self._manifest.learner
        tally = Tally(sums=measure.SUMS, peaks=measure.PEAKS, device=self._device)
        psa = self._manifest.latent.psa
        measured = [
            measure.measure(self._engine, b, self._maps, psa, tally) for b in micro_batches(shard, config.micro_batch, self._device)
        ]
        totals = tally.reduce()
        metrics = measure.metrics(totals, config.max_logprob_gap)
        metrics |= {"update/tokens": totals["tokens"], "update/no_signal": float(totals["signal"] == 0)}
        if totals["signal"]:
            metrics |= self._train(measured, totals["tokens"])
        self._last_step = number
        return metrics | {"update/seconds": time.monotonic() - began}

    def _train(self, measured: list[measure.Measured], tokens: float) -> dict[str, float]:
        epochs = self._manifest.learner.epochs
        tally = Tally(sums=step.SUMS, device=self._device)
        rate = self._engine.get_lr()[0]
        norms = [
            step.take_step(self._engine, measured, self._objective, tokens=tokens, world=self._world, tally=tally) for _ in range(epochs)
        ]
        applied = [norm for norm in norms if norm is not None]
        metrics = step.metrics(tally.reduce(), tokens * epochs, self._objective.self_reward_weight)
        if applied:
            metrics["loss/grad_norm"] = sum(applied) / len(applied)
        return metrics | {"loss/lr": rate, "loss/skipped_steps": float(epochs - len(applied))}

    def publish(self, version: int, receivers: list[Worker], fleet: Fleet) -> dict[str, float]:
        """Send the weights to all receivers, verified. Rank 0 returns `publish/...` metrics, the others nothing.

        Every rank runs through all gathers even when a receiver fails, so that a failed publish leaves the group usable.
        """
        from ib_lpo.learner.zero import whole_weights
        from ib_lpo.weights.publish import publish

        config, first = self._manifest.weights, self._rank == 0
        stream = whole_weights(self._policy, int(config.bucket_mb * 1e6), keep=first)
        try:
            if not first:
                return {}
            report = publish(self._with_maps(stream), version=version, receivers=receivers, fleet=fleet, config=config)
            return report.metrics()
        finally:
            deque(stream, maxlen=0)

    def _with_maps(self, stream):
        yield from stream
        if self._maps is not None:
            yield from ((f"psa.{name}", parameter) for name, parameter in self._maps.named_parameters())

    def save(self, directory: Path) -> None:
        """Write this rank's part of the learner's state: weights, optimiser, schedule."""
        self._engine.save_checkpoint(str(directory), tag=_TAG, client_state={"last_step": self._last_step}, save_latest=False)
        if self._rank == 0:
            (directory / "learner.json").write_text(json.dumps({"ranks": self._world}))

    def load(self, directory: Path) -> int:
        """Continue from `save`, bit for bit on the same machine; returns the last step applied. Raises CheckpointError."""
        try:
            ranks = json.loads((directory / "learner.json").read_text())["ranks"]
        except FileNotFoundError:
            raise CheckpointError(f"{directory}: no learner.json; give the directory of a complete checkpoint") from None
        if ranks != self._world:
            raise CheckpointError(f"{directory}: written by {ranks} ranks, this run has {self._world}; set learner.ranks={ranks}")
        path, client = self._engine.load_checkpoint(str(directory), tag=_TAG)
        if path is None:
            raise CheckpointError(f"{directory}: has no learner state; use an older checkpoint")
        self._last_step = client["last_step"]
        return self._last_step

    def close(self) -> None:
        """Free the engine; the process group stays, because an in-process rollout engine may share it."""
        if self._engine is not None:
            self._engine.destroy()
            self._engine = None


def environment(device: str) -> dict[str, str]:
    """Environment variables a rank's process needs from its start."""
    return {} if device.startswith("cuda") else {"DS_ACCELERATOR": "cpu", "TORCHDYNAMO_DISABLE": "1"}
