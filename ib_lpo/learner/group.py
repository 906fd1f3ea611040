"""The driver's side of the learner: all ranks as one.

Every call goes to all ranks at once and fails with the first rank that fails: the others may be waiting for it in a collective, until
`cluster.group_deadline_s`. A rank that is gone takes the group with it (LearnerLost): `restart` makes a new one on a free port, which has
the starting model until it `load`s a checkpoint. While the driver waits for the ranks, its event loop serves the rollout engines.
"""

from pathlib import Path
from typing import Any

from ib_lpo.checkpoints.learner_state import write_index
from ib_lpo.fleet.base import Worker, WorkerDied, successor
from ib_lpo.fleet.loop import EventLoop, Limit
from ib_lpo.learner.batch import Planting, sequences
from ib_lpo.learner.packing import mini_batches, pack, packing_metrics
from ib_lpo.learner.rank import LearnerRank, environment
from ib_lpo.learner.staleness import staleness_metrics
from ib_lpo.manifest import Manifest
from ib_lpo.tree import RolloutTree
from ib_lpo.weights.parcel import Parcel
from ib_lpo.weights.place import Route


class LearnerLost(WorkerDied):
    """A rank is gone, and with it what the group knew since its last checkpoint."""


class LearnerGroup:
    """`learner.ranks` workers named learner-0, learner-1, ... Spawned at once; `start` belongs before anything else."""

    def __init__(self, loop: EventLoop, manifest: Manifest, device: str):
        self._loop, self._manifest, self._device = loop, manifest, device
        self._world, self._planting = manifest.learner.ranks, Planting.of(manifest)
        self._births = 0
        self._ranks = self._spawn()

    def start(self) -> None:
        """Let the ranks find one another and load the model. Raises LearnerLost, and UserError for a model that cannot be loaded."""
        limit = Limit(self._manifest.cluster.start_deadline_s, "cluster.start_deadline_s")
        host, port = self._gather([self._ranks[0].call("endpoint")], "endpoint", limit)[0]
        self._all("connect", host, port, limit=limit)

    def restart(self) -> None:
        """A new group in the place of one that was lost."""
        for rank in self._ranks:
            self._loop.fleet.kill(rank)
        self._births += 1
        self._ranks = self._spawn()
        self.start()

    def require_alive(self) -> None:
        """Raise LearnerLost when a rank is gone."""
        self._all("ready")

    def update(self, trees: list[RolloutTree], step: int) -> dict[str, float]:
        """One training step on the kept trajectories, whose advantages are assigned. Returns its metrics."""
        items, learner = sequences(trees), self._manifest.learner
        budget, world = learner.max_tokens_per_micro_batch, self._world
        parts = mini_batches(items, learner.mini_batches)
        packings = [pack(part, ranks=world, budget=budget, planting=self._planting) for part in parts]
        totals = [packing.totals for packing in packings]
        results = self._each("update", [([p.shards[rank] for p in packings], totals, step) for rank in range(world)])
        counts = {"update/sequences": float(len(items))}
        return results[0] | packing_metrics(packings) | staleness_metrics(items, step - 1) | counts

    def compare(self, trees: list[RolloutTree], version: int) -> dict[str, float]:
        """`mismatch/...` of roots as they were sampled, z-free and not graded, under weights of `version`, which trained nothing on them.
        Changes nothing."""
        for tree in trees:
            for root in tree.roots:
                root.reward = root.advantage = 0.0  # so that it counts as a sequence
        budget, world = self._manifest.learner.max_tokens_per_micro_batch, self._world
        packing = pack(sequences(trees), ranks=world, budget=budget, planting=self._planting)
        return self._each("compare", [(packing.shards[rank], version) for rank in range(world)])[0]

    def publish(self, version: int, route: Route) -> Parcel:
        """Stage the weights as `version` on rank 0, for the receivers of `route`, who are not waited for.

        Raises UserError when `weights.transport` cannot reach them.
        """
        return self._all("publish", version, route)[0]

    def save(self, path: Path) -> None:
        """Write the learner's state into the existing directory `path`. Raises CheckpointError."""
        write_index(path, self._all("save", path))

    def load(self, path: Path) -> int:
        """Continue from `save`, with any number of ranks: bit for bit with as many, on the same machine. Returns the last step applied.

        Raises CheckpointError, with nothing changed on any rank, for a state that does not fit or is damaged.
        """
        self._all("check", path)
        return self._all("load", path)[0]

    def _spawn(self) -> list[Worker]:
        cluster, device = self._manifest.cluster, self._device
        where = {"cpus": cluster.rank_cpus, "gpus": cluster.rank_gpus if device.startswith("cuda") else 0, "env": environment(device)}
        return [
            self._loop.fleet.spawn(
                LearnerRank, self._manifest, rank, self._world, device, name=successor(f"learner-{rank}", self._births), **where
            )
            for rank in range(self._world)
        ]

    def _all(self, method: str, *args: Any, limit: Limit | None = None) -> list[Any]:
        return self._each(method, [args] * self._world, limit)

    def _each(self, method: str, arguments: list[tuple[Any, ...]], limit: Limit | None = None) -> list[Any]:
        pending = [rank.call(method, *args) for rank, args in zip(self._ranks, arguments, strict=True)]
        return self._gather(pending, method, limit)

    def _gather(self, pending: list, method: str, limit: Limit | None) -> list[Any]:
        try:
            return self._loop.gather(pending, f"learner.{method}", limit)
        except WorkerDied as died:
            if died.worker in {rank.name for rank in self._ranks}:
                raise LearnerLost(str(died), died.worker) from None
            raise
