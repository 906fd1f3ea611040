"""One learner rank: a shard of the policy, its optimiser state, and its share of every step.

All public methods after `connect` are collective: the LearnerGroup calls them on all ranks at once, in the same order. No rank
decides anything from its own shard; decisions come from totals over all ranks.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from ib_lpo.checkpoints.learner_state import LearnerState, Part, Progress
from ib_lpo.latent.injection import MAPS
from ib_lpo.learner import measure, step, zero, zero_state
from ib_lpo.learner.batch import MicroBatch, Planting, collate
from ib_lpo.learner.packing import Shard, Totals
from ib_lpo.learner.tally import Tally
from ib_lpo.manifest import Manifest
from ib_lpo.policy.forest import Forest
from ib_lpo.weights.parcel import Parcel
from ib_lpo.weights.place import Route


class LearnerRank:
    """A worker; plain class, imports DeepSpeed only in `connect`."""

    def __init__(self, manifest: Manifest, rank: int, world: int, device: str):
        self._manifest = manifest
        self._rank, self._world, self._device = rank, world, device
        self._objective = step.Objective.of(manifest)
        self._planting = Planting.of(manifest)
        self._engine: Any = None  # deepspeed.DeepSpeedEngine once connected
        self._reference: Callable[[Forest], Tensor] | None = None  # of the KL term
        self._outbox: Any = None  # weights.outbox.Outbox, on rank 0
        self._last_step = -1

    def ready(self) -> None:
        """Answers while the process lives."""

    def endpoint(self) -> tuple[str, int]:
        """An address of this machine that other machines reach, and a port that is free now."""
        return zero.free_endpoint()

    def connect(self, host: str, port: int) -> None:
        """Join the group at rank 0's endpoint and build the engine. Raises PolicyError for a model that cannot be loaded."""
        from ib_lpo.learner import model
        from ib_lpo.policy.dtype import compute_dtype
        from ib_lpo.weights.dtype import copy_dtype
        from ib_lpo.weights.outbox import Outbox

        zero.join_group(host, port, rank=self._rank, world=self._world, deadline_s=self._manifest.cluster.group_deadline_s)
        dtype = compute_dtype(self._manifest.learner, self._device)
        self._module = model.build_policy(self._manifest, dtype)
        self._engine = zero.build_engine(self._module, self._manifest.learner, dtype, self._device)
        if self._planting.reference:
            from ib_lpo.learner.reference import build_reference

            self._reference = build_reference(self._manifest, dtype, self._device)
        if self._rank == 0:
            how = {"dtype": copy_dtype(self._manifest, self._device), "config": self._manifest.weights, "device": self._device}
            self._outbox = Outbox(self._shapes(), **how)

    def update(self, shards: list[Shard], totals: list[Totals], number: int) -> dict[str, float]:
        """One training step, this rank's micro-batches of each mini-batch (equally many on all ranks). Returns the metrics of all ranks.

        A mini-batch without a token of non-zero advantage anywhere makes no optimiser step, unless the objective has a term that needs none
        (`update/silent_mini_batches` counts them). Without any step the weights stay as they are, bit for bit: `update/no_signal` is 1.
        """
        began = time.monotonic()
        tally = Tally(sums=measure.SUMS, peaks=measure.PEAKS, device=self._device)
        seed = (self._manifest.seed, number, "draw")
        measured = [
            [self._measure(collate(items, self._planting, seed).to(self._device), number - 1, tally) for items in shard] for shard in shards
        ]
        always = self._objective.without_signal
        parts = [(m, t) for m, t in zip(measured, totals, strict=True) if t.tokens and (t.signal or always)]
        silent = sum(not t.signal for t in totals)
        metrics = measure.metrics(tally.reduce()) | {"update/no_signal": float(not parts), "update/silent_mini_batches": float(silent)}
        if parts:
            metrics |= self._train(parts, number)
        self._last_step = number
        return metrics | {"update/seconds": time.monotonic() - began}

    def compare(self, shard: Shard, version: int) -> dict[str, float]:
        """How far the engines' log-probs are from those under the present weights, which are of `version`; metrics of all ranks. Trains
        nothing."""
        tally = Tally(sums=measure.SUMS, peaks=measure.PEAKS, device=self._device)
        for items in shard:
            self._measure(collate(items, self._planting, (self._manifest.seed, version, "compare")).to(self._device), version, tally)
        return measure.metrics(tally.reduce())

    def _measure(self, batch: MicroBatch, version: int, tally: Tally) -> measure.Measured:
        how = {"conditioned": self._planting.conditioned, "reference": self._reference}
        return measure.measure(self._engine, batch, version=version, tally=tally, **how)

    def _train(self, parts: list[tuple[list[measure.Measured], Totals]], number: int) -> dict[str, float]:
        config, objective = self._manifest.learner, self._objective
        tally = Tally(sums=objective.sums, device=self._device)
        chosen = [measure.choose(measured, objective.loss, objective.config) for measured, _ in parts]
        rates = zero.set_rates(self._engine, number, config, self._manifest.steps)
        norms = [
            step.take_step(self._engine, measured, of_part, objective, totals=totals, world=self._world, tally=tally)
            for _ in range(config.epochs)
            for (measured, totals), of_part in zip(parts, chosen, strict=True)
        ]
        applied = [norm for norm in norms if norm is not None]
        tokens = config.epochs * sum(totals.tokens for _, totals in parts)
        metrics = step.metrics(tally.reduce(), objective, steps=len(norms), tokens=tokens)
        if applied:
            metrics["loss/grad_norm"] = sum(applied) / len(applied)
        counts = {"loss/optimiser_steps": float(len(applied)), "loss/skipped_steps": float(len(norms) - len(applied))}
        return metrics | {f"lr/{group}": rate for group, rate in rates.items()} | counts

    def publish(self, version: int, route: Route) -> Parcel | None:
        """Stage the weights as `version` for the receivers of `route`, who are not waited for. Rank 0 returns the parcel, the others None.

        Raises UserError when `weights.transport` cannot reach them. Every rank runs through all gathers all the same, so that the group
        stays usable.
        """
        first = self._rank == 0
        stream = self._weights(int(self._manifest.weights.bucket_mb * 1e6), keep=first)
        try:
            return self._outbox.send(version, stream, route) if first else None
        finally:
            deque(stream, maxlen=0)

    def _shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """What `_weights` yields, in its order, without gathering it."""
        for name, parameter in self._module.policy.named_parameters():
            yield name, tuple(parameter.ds_shape)
        if self._module.maps is not None:
            for name, parameter in self._module.maps.named_parameters():
                yield f"{MAPS}{name}", tuple(parameter.ds_shape)

    def _weights(self, bucket_bytes: int, *, keep: bool) -> Iterator[tuple[str, Tensor]]:
        yield from zero.whole_weights(self._module.policy, bucket_bytes, keep=keep)
        if self._module.maps is not None:
            for name, tensor in zero.whole_weights(self._module.maps, bucket_bytes, keep=keep):
                yield f"{MAPS}{name}", tensor

    def save(self, directory: Path) -> Part:
        """Write this rank's share of the learner's state into an existing directory. Raises CheckpointError when it cannot be written."""
        size = int(self._manifest.checkpoint.file_mb * 1e6)
        entries = zero_state.save_state(self._engine, directory, rank=self._rank, world=self._world, file_bytes=size)
        dtype = str(next(self._module.parameters()).dtype).removeprefix("torch.")
        steps = zero_state.optimiser_steps(self._engine)
        return Part(entries, Progress(last_step=self._last_step, optimiser_steps=steps, dtype=dtype))

    def check(self, directory: Path) -> None:
        """Raise CheckpointError unless `load` can continue from `directory`. Changes nothing; not collective."""
        zero_state.check_state(self._engine, LearnerState(directory), rank=self._rank, world=self._world)

    def load(self, directory: Path) -> int:
        """Continue from `save`, after `check` on all ranks; returns the last step applied. Raises CheckpointError."""
        state = LearnerState(directory)
        zero_state.load_state(self._engine, state, rank=self._rank)
        self._last_step = state.progress.last_step
        return self._last_step

    def close(self) -> None:
        """Free the engines and the versions under way; the process group stays, because an in-process rollout engine may share it."""
        if self._outbox is not None:
            self._outbox.close()
            self._outbox = None
        for engine in (self._engine, self._reference):
            if engine is not None:
                engine.destroy()
        self._engine = self._reference = None


def environment(device: str) -> dict[str, str]:
    """Environment variables a rank's process needs from its start."""
    return {} if device.startswith("cuda") else {"DS_ACCELERATOR": "cpu", "TORCHDYNAMO_DISABLE": "1"}
