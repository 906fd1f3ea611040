"""The Ray fleet: every worker is an actor that holds a Host.

An actor of this fleet never restarts by itself: a restarted engine would serve weights it was born with, so a death is an error
that names the worker, and whoever drives the worker replaces it. Actors are owned by the driver's job, so Ray ends them when the driver
dies, however it dies. A private Ray listens on the loopback interface alone (fleet/private_ray.py).
"""

import os
import re
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError

from ib_lpo.errors import UserError
from ib_lpo.fleet.base import Overdue, Pending, Worker, WorkerDied
from ib_lpo.fleet.config import ClusterConfig
from ib_lpo.fleet.host import Host
from ib_lpo.fleet.log import tail
from ib_lpo.fleet.private_ray import start_private_ray
from ib_lpo.redaction import is_secret_name, redact


@dataclass(frozen=True, slots=True, eq=False)
class RayPending:
    """An object reference with a name and a default deadline."""

    worker: str
    method: str
    ref: ray.ObjectRef
    deadline_s: float
    log: Path | None

    @property
    def what(self) -> str:
        return f"{self.worker}.{self.method}"

    @property
    def done(self) -> bool:
        return bool(ray.wait([self.ref], timeout=0)[0])

    def result(self, deadline_s: float | None = None) -> Any:
        limit = self.deadline_s if deadline_s is None else deadline_s
        try:
            return ray.get(self.ref, timeout=limit)
        except GetTimeoutError:
            raise Overdue(
                f"{self.what}: no answer within {limit:.0f} s; if the work is that long, raise cluster.call_deadline_s or start_deadline_s"
            ) from None
        except RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise error.cause from None
            raise self._died(f"its answer or its arguments did not pass between processes: {_one_line(error.cause)}") from None
        except RayActorError as error:
            raise self._died(_death(error)) from None
        except RayError as error:  # its answer, or what it was to read, went down with a machine
            raise self._died(f"a value is lost: {_one_line(error)}") from None

    def _died(self, why: str) -> WorkerDied:
        return WorkerDied(f"{self.what}: the worker died: {why}{tail(self.log)}", self.worker)


def _one_line(error: BaseException) -> str:
    return redact(" ".join(f"{type(error).__name__}: {error}".split()))[:500]


def _death(error: RayActorError) -> str:
    """What Ray knows of it, without its advice."""
    text = " ".join(str(error).split())
    found = re.search(r"The actor is dead because (.*?)(?: Some common causes| Never ran|$)", text)
    return redact(found.group(1) if found else text)[:500]


@dataclass(frozen=True, slots=True)
class RayWorker:
    """A handle to an actor; may be passed to other workers."""

    name: str
    actor: ActorHandle
    deadline_s: float
    log: Path | None

    def call(self, method: str, *args: Any, **kwargs: Any) -> RayPending:
        return RayPending(self.name, method, self.actor.invoke.remote(method, *args, **kwargs), self.deadline_s, self.log)

    def kill(self) -> None:
        ray.kill(self.actor, no_restart=True)


class RayFleet:
    """Joins a Ray cluster, or starts a private one when neither `cluster.address` nor RAY_ADDRESS names any."""

    def __init__(self, cluster: ClusterConfig, log_dir: Path | None = None):
        self._cluster = cluster
        self.log_dir = None if log_dir is None else log_dir.resolve()
        self._workers: list[RayWorker] = []
        self._owner_pid = os.getpid()
        self._started = not ray.is_initialized()
        if self._started:
            address = cluster.address or os.environ.get("RAY_ADDRESS") or "local"
            if address == "local":
                start_private_ray(cluster.cpus)
            else:
                ray.init(address=address, log_to_driver=False, logging_level="ERROR")

    def __reduce__(self) -> tuple[Any, ...]:
        """Inside an actor: the same fleet, owning no worker."""
        return RayFleet, (self._cluster, self.log_dir)

    @property
    def resources(self) -> dict[str, float]:
        """Logical resources of the whole cluster, e.g. {"CPU": 16, "GPU": 8}."""
        return ray.cluster_resources()

    def spawn(self, cls: type, *args: Any, name: str, cpus: float = 0, gpus: float = 0, env: dict[str, str] | None = None) -> RayWorker:
        if secrets := sorted(filter(is_secret_name, env or {})):
            raise ValueError(f"{name}: Ray logs what is in `env`, so {', '.join(secrets)} must come with the environment of the machine")
        options = {"num_cpus": cpus, "num_gpus": gpus, "max_restarts": 0, "runtime_env": {"env_vars": env or {}}}
        log = None if self.log_dir is None else self.log_dir / f"{name}.err"
        titled = type(cls.__name__, (Host,), {})  # the process is listed as ray::<cls>
        worker = RayWorker(name, ray.remote(titled).options(**options).remote(name, log, cls, *args), self._cluster.call_deadline_s, log)
        self._workers.append(worker)
        return worker

    def wait_any(self, pending: list[Pending], deadline_s: float | None = None) -> Pending:
        if finished := self.wait_some(pending, deadline_s):
            return finished[0]
        limit = self._cluster.call_deadline_s if deadline_s is None else deadline_s
        names = ", ".join(p.what for p in pending)
        raise Overdue(f"{names}: none answered within {limit:.0f} s; if the work is that long, raise cluster.call_deadline_s")

    def wait_some(self, pending: Collection[Pending], timeout_s: float | None = None) -> list[Pending]:
        end = time.monotonic() + (self._cluster.call_deadline_s if timeout_s is None else timeout_s)
        while True:
            finished = _finished(pending)
            left = end - time.monotonic()
            if finished or left <= 0:
                return finished
            if refs := _refs(pending):
                ray.wait(refs, num_returns=1, timeout=left)
            else:
                time.sleep(left)

    def put(self, value: Any) -> Any:
        return ray.put(value)

    def kill(self, worker: Worker) -> None:
        worker.kill()
        self._workers = [one for one in self._workers if one is not worker]

    def shutdown(self) -> None:
        for worker in self._workers:
            worker.kill()
        self._workers.clear()
        if self._started and os.getpid() == self._owner_pid:
            ray.shutdown()
            self._started = False


def _refs(pending: Collection[Pending]) -> list[ray.ObjectRef]:
    """What there is to wait for; calls of a Kept worker may wait for the same one."""
    return list(dict.fromkeys(p.ref for p in pending if p.ref is not None))


def _finished(pending: Collection[Pending]) -> list[Pending]:
    refs = _refs(pending)
    ready = set(ray.wait(refs, num_returns=len(refs), timeout=0)[0]) if refs else set()
    return [p for p in pending if p.ref is None or (p.ref in ready and p.done)]
