"""One rollout engine that serves the manifest's model with the maps of its latent, started for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from ib_lpo.fleet.placement import open_fleet, resolve_device
from ib_lpo.latent.injection import MAPS, MapShape
from ib_lpo.latent.store import build_maps
from ib_lpo.manifest import Manifest
from ib_lpo.policy.dtype import compute_dtype
from ib_lpo.policy.load import load_policy
from ib_lpo.rollout.engine import RolloutEngine, engine_env
from ib_lpo.rollout.request import Generation, GenerationRequest
from ib_lpo.weights.publish import publish


class Serving:
    """Generates; one engine, `manifest.cluster.mode` says where it lives."""

    def __init__(self, engine):
        self._engine = engine

    def run(self, requests: list[GenerationRequest]) -> dict[str, Generation]:
        """All of them, by id."""
        finished: dict[str, Generation] = {}
        waiting = requests
        while len(finished) < len(requests):
            finished |= {generation.id: generation for generation in self._engine.call("advance", waiting).result()}
            waiting = []
        return finished


@contextmanager
def serving(manifest: Manifest) -> Iterator[Serving]:
    """An engine with verified weights. Raises UserError for what the user can mend."""
    fleet = open_fleet(manifest.cluster)
    try:
        device = resolve_device(manifest.cluster, fleet)
        gpus = manifest.cluster.engine_gpus * (device == "cuda")
        place = {"cpus": manifest.cluster.engine_cpus, "gpus": gpus, "env": engine_env(device)}
        engine = fleet.spawn(RolloutEngine, manifest, 0, device, name="engine-0", **place)
        engine.call("ready").result(manifest.cluster.start_deadline_s)
        dtype = compute_dtype(manifest.learner, device)
        policy = load_policy(manifest.model, dtype=dtype, device="cpu")
        tensors = list(policy.named_parameters())
        if manifest.latent.kind != "none":
            maps = build_maps(manifest, MapShape.of(policy.config, manifest.latent), dtype)
            tensors += [(f"{MAPS}{name}", tensor) for name, tensor in maps.named_parameters()]
        publish(tensors, version=0, receivers=[engine], fleet=fleet, config=manifest.weights)
        yield Serving(engine)
    finally:
        fleet.shutdown()
