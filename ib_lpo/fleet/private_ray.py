"""A Ray of this run alone, that nobody outside this machine can reach: every server of it listens on the loopback interface.

Ray takes the address that leads outside as its node's, and then binds its servers to all interfaces. It does so even when it is told
`127.0.0.1`, which it resolves to the outward address; what decides is a constant that holds whether nodes may be other machines.
What workers open themselves (torch.distributed, vLLM) follows LOOPBACK_ENV and `fleet/address.py`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray._private import ray_constants

from ib_lpo.fleet.address import LOOPBACK

LOOPBACK_ENV = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo", "VLLM_HOST_IP": LOOPBACK}
"""Of every worker of a private Ray, unless it is set already."""


def start_private_ray(cpus: int | None) -> None:
    """Start it and join it. `cpus`: logical CPUs; None: the machine's. No dashboard, no usage statistics."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    workers = {"env_vars": {name: os.environ.get(name, value) for name, value in LOOPBACK_ENV.items()}}
    with _one_machine():
        ray.init(address="local", num_cpus=cpus, include_dashboard=False, log_to_driver=False, logging_level="ERROR", runtime_env=workers)


@contextmanager
def _one_machine() -> Iterator[None]:
    before, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
