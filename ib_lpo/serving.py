"""Rollout engines outside of training: started for a while, with verified weights of one policy version.

Invariant: every request is answered exactly once, by an engine that depends on the request's place in the list alone, so that the same
requests see the same batches on every call.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from ib_lpo.fleet.base import Fleet, Pending, Worker
from ib_lpo.fleet.placement import check_engines, open_fleet, resolve_device
from ib_lpo.latent.injection import MAPS, MapShape
from ib_lpo.latent.store import build_maps
from ib_lpo.manifest import Manifest
from ib_lpo.policy.load import load_policy
from ib_lpo.policy.weights import check_weights
from ib_lpo.rollout.engine import RolloutEngine, engine_env
from ib_lpo.rollout.request import Generation, GenerationRequest
from ib_lpo.weights.dtype import copy_dtype
from ib_lpo.weights.publish import publish


class Serving:
    """Generates; `manifest.cluster.mode` says where its engines live."""

    def __init__(self, engines: list[Worker], fleet: Fleet):
        self._engines, self._fleet = engines, fleet

    def run(self, requests: list[GenerationRequest]) -> dict[str, Generation]:
        """All of them, by id."""
        return {generation.id: generation for generation in self.stream(requests)}

    def stream(self, requests: list[GenerationRequest]) -> Iterator[Generation]:
        """All of them, as they finish. Those with the same prefix go to one engine, whose cache then holds it."""
        dealt = self._dealt(requests)
        left = [len(of) for of in dealt]
        running: dict[int, Pending] = {i: self._engines[i].call("advance", of) for i, of in enumerate(dealt) if of}
        while running:
            first = self._fleet.wait_any(list(running.values()))
            index = next(i for i, pending in running.items() if pending is first)
            finished = running.pop(index).result()
            left[index] -= len(finished)
            if left[index]:  # it works on while the caller does
                running[index] = self._engines[index].call("advance", [])
            yield from finished

    def _dealt(self, requests: list[GenerationRequest]) -> list[list[GenerationRequest]]:
        """By engine; prefixes are dealt in turn, in the order in which they first appear."""
        dealt: list[list[GenerationRequest]] = [[] for _ in self._engines]
        place: dict[bytes, int] = {}
        for request in requests:
            dealt[place.setdefault(request.prefix_ids.tobytes(), len(place) % len(dealt))].append(request)
        return dealt


@contextmanager
def serving(manifest: Manifest, *, engines: int = 1, checkpoint: Path | None = None) -> Iterator[Serving]:
    """Engines that hold the manifest's model, or what training made of it up to `checkpoint` (a run's checkpoints/step-...).

    Raises UserError for what the user can mend.
    """
    check_weights(manifest.model)
    fleet = open_fleet(manifest.cluster)
    try:
        device = resolve_device(manifest.cluster, fleet)
        check_engines(engines, manifest.cluster, device, fleet)
        tensors = _tensors(manifest, device, checkpoint)  # first: what does not fit is told before engines start
        c, gpus = manifest.cluster, manifest.cluster.engine_gpus * (device == "cuda")
        started = [
            fleet.spawn(RolloutEngine, manifest, i, device, name=f"engine-{i}", cpus=c.engine_cpus, gpus=gpus, env=engine_env(device))
            for i in range(engines)
        ]
        for pending in [engine.call("ready") for engine in started]:
            pending.result(c.start_deadline_s)
        sending = manifest.weights.model_copy(update={"transport": "auto"})  # the manifest's is the learner's
        publish(tensors, version=0, receivers=started, fleet=fleet, config=sending, dtype=copy_dtype(manifest, device))
        yield Serving(started, fleet)
    finally:
        fleet.shutdown()


def _tensors(manifest: Manifest, device: str, checkpoint: Path | None) -> list[tuple[str, Tensor]]:
    """The policy's parameters and, with a latent, those of its maps, in the engines' type."""
    dtype = copy_dtype(manifest, device)
    policy = load_policy(manifest.model, dtype=dtype, device="cpu")
    maps = None if manifest.latent.kind == "none" else build_maps(manifest, MapShape.of(policy.config, manifest.latent), dtype)
    if checkpoint is not None:
        from ib_lpo.learner.restore import restore

        restore(policy, maps, checkpoint, manifest)
    of_maps = [] if maps is None else [(f"{MAPS}{name}", tensor) for name, tensor in maps.named_parameters()]
    return [*policy.named_parameters(), *of_maps]
