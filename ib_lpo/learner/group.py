"""The driver's side of the learner: all ranks as one.

Every call goes to all ranks at once and fails with the first rank that fails: the others may be waiting for it in a collective, until
`cluster.group_deadline_s`. A dead group does not come back; start a new one and `load` the newest checkpoint.
"""

from pathlib import Path
from typing import Any

from ib_lpo.fleet.base import Fleet, Worker
from ib_lpo.learner.batch import Planting, sequences
from ib_lpo.learner.packing import mini_batches, pack, packing_metrics
from ib_lpo.learner.rank import LearnerRank, environment
from ib_lpo.manifest import Manifest
from ib_lpo.tree import RolloutTree


class LearnerGroup:
    """`learner.ranks` workers named learner-0, learner-1, ..."""

    def __init__(self, fleet: Fleet, manifest: Manifest, device: str):
        cluster, self._world = manifest.cluster, manifest.learner.ranks
        self._fleet = fleet
        self._learner, self._planting = manifest.learner, Planting.of(manifest)
        self._published: int | None = None
        self._ranks = [
            fleet.spawn(
                LearnerRank,
                manifest,
                rank,
                self._world,
                device,
                name=f"learner-{rank}",
                cpus=cluster.rank_cpus,
                gpus=cluster.rank_gpus if device.startswith("cuda") else 0,
                env=environment(device),
            )
            for rank in range(self._world)
        ]
        host, port = self._ranks[0].call("endpoint").result(cluster.start_deadline_s)
        self._all("connect", host, port, deadline_s=cluster.start_deadline_s)

    def update(self, trees: list[RolloutTree], step: int) -> dict[str, float]:
        """One training step on the kept trajectories, whose advantages are assigned. Returns its metrics.

        `update/version_lag` is the largest distance, in versions, between the last published weights and those that sampled.
        """
        items = sequences(trees)
        budget, world = self._learner.max_tokens_per_micro_batch, self._world
        parts = mini_batches(items, self._learner.mini_batches)
        packings = [pack(part, ranks=world, budget=budget, planting=self._planting) for part in parts]
        totals = [packing.totals for packing in packings]
        results = self._each("update", [([p.shards[rank] for p in packings], totals, step) for rank in range(world)])
        metrics = results[0] | packing_metrics(packings) | {"update/sequences": float(len(items))}
        if self._published is not None:
            metrics["update/version_lag"] = float(max((self._published - s.version for s in items), default=0))
        return metrics

    def publish(self, version: int, receivers: list[Worker]) -> dict[str, float]:
        """Send the weights to all receivers and verify them. Raises PublishError, or what a receiver raised."""
        metrics = self._all("publish", version, receivers, self._fleet)[0]
        self._published = version
        return metrics

    def save(self, path: Path) -> None:
        """Write the learner's state into the existing directory `path`."""
        self._all("save", path)

    def load(self, path: Path) -> int:
        """Continue from `save`; returns the last step applied. Raises CheckpointError."""
        return self._all("load", path)[0]

    def _all(self, method: str, *args: Any, deadline_s: float | None = None) -> list[Any]:
        return self._each(method, [args] * self._world, deadline_s)

    def _each(self, method: str, arguments: list[tuple[Any, ...]], deadline_s: float | None = None) -> list[Any]:
        pending = [rank.call(method, *args) for rank, args in zip(self._ranks, arguments, strict=True)]
        waiting = list(pending)
        while waiting:
            done = self._fleet.wait_any(waiting, deadline_s)
            done.result(deadline_s)
            waiting.remove(done)
        return [p.result(deadline_s) for p in pending]
