"""Which device a run uses, and whether its workers fit the cluster; asked before anything is started."""

from pathlib import Path

from ib_lpo.errors import UserError
from ib_lpo.fleet.base import Fleet
from ib_lpo.fleet.config import ClusterConfig
from ib_lpo.fleet.local import LocalFleet
from ib_lpo.fleet.ray import RayFleet
from ib_lpo.manifest import Manifest

SERVICES = 2  # latent sampler, verifier


def open_fleet(cluster: ClusterConfig, log_dir: Path | None = None) -> Fleet:
    """The fleet that `cluster.mode` names. `log_dir`: where workers' stderr is kept; None: nowhere."""
    return LocalFleet() if cluster.mode == "local" else RayFleet(cluster, log_dir)


def resolve_device(cluster: ClusterConfig, fleet: Fleet) -> str:
    """ "cpu" or "cuda" for `cluster.device`."""
    if cluster.device != "auto":
        return cluster.device
    import torch

    if torch.version.cuda is None:  # this environment was made for the CPU
        return "cpu"
    gpus = fleet.resources.get("GPU", 0) if isinstance(fleet, RayFleet) else torch.cuda.is_available()
    return "cuda" if gpus else "cpu"


def check_fit(manifest: Manifest, device: str, fleet: Fleet) -> None:
    """Raise UserError when the cluster can never hold all workers of a training run, instead of waiting for ever for a place."""
    if not isinstance(fleet, RayFleet):
        return
    c, engines, ranks = manifest.cluster, manifest.rollout.engines, manifest.learner.ranks
    scorers = manifest.scorers
    kinds = [
        ("CPU", round(engines * c.engine_cpus + ranks * c.rank_cpus + scorers * c.scorer_cpus + SERVICES * c.service_cpus, 3), "cpus"),
        ("GPU", (engines * c.engine_gpus + ranks * c.rank_gpus + scorers * c.scorer_gpus) * (device == "cuda"), "gpus"),
    ]
    problems = [
        f"rollout.engines={engines}, learner.ranks={ranks}, {scorers} scorers: with the services they reserve {need:g} {kind}s, the Ray "
        f"cluster has {fleet.resources.get(kind, 0):g}; lower them (scorers: ib.replicas) or cluster.engine_{suffix}, rank_{suffix}, "
        f"scorer_{suffix}"
        for kind, need, suffix in kinds
        if need > fleet.resources.get(kind, 0) + 1e-9
    ]
    if problems:
        raise UserError("\n".join(problems))


def check_engines(engines: int, cluster: ClusterConfig, device: str, fleet: Fleet) -> None:
    """Raise UserError when the cluster can never hold so many engines and nothing else."""
    if not isinstance(fleet, RayFleet):
        return
    needs = {"CPU": engines * cluster.engine_cpus, "GPU": engines * cluster.engine_gpus * (device == "cuda")}
    problems = [
        f"rollout.engines={engines}: they reserve {need:g} {kind}s, the Ray cluster has {fleet.resources.get(kind, 0):g}; lower it or "
        f"cluster.engine_{kind.lower()}s"
        for kind, need in needs.items()
        if need > fleet.resources.get(kind, 0) + 1e-9
    ]
    if problems:
        raise UserError("\n".join(problems))
