"""The Ray fleet: every worker is an actor.

An actor of this fleet never restarts by itself: a restarted engine would serve weights it was born with, so a death is an error
that names the worker. Actors are owned by the driver's job, so Ray ends them when the driver dies, however it dies.
"""

import os
from dataclasses import dataclass
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from ib_lpo.errors import UserError
from ib_lpo.fleet.base import FleetError, Pending
from ib_lpo.fleet.config import ClusterConfig


@dataclass(frozen=True, slots=True)
class RayPending:
    """An object reference with a name and a default deadline."""

    what: str
    ref: ray.ObjectRef
    deadline_s: float

    def result(self, deadline_s: float | None = None) -> Any:
        limit = self.deadline_s if deadline_s is None else deadline_s
        try:
            return ray.get(self.ref, timeout=limit)
        except GetTimeoutError:
            raise FleetError(
                f"{self.what}: no answer within {limit:.0f} s; if the work is that long, raise cluster.call_deadline_s or start_deadline_s"
            ) from None
        except RayTaskError as error:
            raise (error.cause if isinstance(error.cause, UserError) else error.as_instanceof_cause()) from None
        except RayActorError as error:
            raise FleetError(f"{self.what}: the worker died: {error}") from None


@dataclass(frozen=True, slots=True)
class RayWorker:
    """A handle to an actor; may be passed to other workers."""

    name: str
    actor: ActorHandle
    deadline_s: float

    def call(self, method: str, *args: Any, **kwargs: Any) -> RayPending:
        return RayPending(f"{self.name}.{method}", getattr(self.actor, method).remote(*args, **kwargs), self.deadline_s)


def _reporting_birth(cls: type) -> type:
    """`cls`, but a UserError in its construction is raised by `ready` instead of killing the actor: it stays one clear line."""

    class Reporting(cls):
        def __init__(self, *args: Any):
            self._birth_error: UserError | None = None
            try:
                super().__init__(*args)
            except UserError as error:
                self._birth_error = error

        def ready(self) -> Any:
            if self._birth_error is not None:
                raise self._birth_error
            return super().ready()

    Reporting.__name__ = Reporting.__qualname__ = cls.__name__
    return Reporting


class RayFleet:
    """Joins a Ray cluster, or starts a private one when neither `cluster.address` nor RAY_ADDRESS names any."""

    def __init__(self, cluster: ClusterConfig):
        self._cluster = cluster
        self._actors: list[ActorHandle] = []
        self._owner_pid = os.getpid()
        if not ray.is_initialized():
            address = cluster.address or os.environ.get("RAY_ADDRESS") or "local"
            private = {"num_cpus": cluster.cpus, "include_dashboard": False} if address == "local" else {}
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **private)
            self._started = True
        else:
            self._started = False

    def __reduce__(self) -> tuple[Any, ...]:
        """Inside an actor: the same fleet, owning no worker."""
        return RayFleet, (self._cluster,)

    @property
    def resources(self) -> dict[str, float]:
        """Logical resources of the whole cluster, e.g. {"CPU": 16, "GPU": 8}."""
        return ray.cluster_resources()

    def spawn(self, cls: type, *args: Any, name: str, cpus: float = 0, gpus: float = 0, env: dict[str, str] | None = None) -> RayWorker:
        options = {"num_cpus": cpus, "num_gpus": gpus, "max_restarts": 0, "runtime_env": {"env_vars": env or {}}}
        actor = ray.remote(_reporting_birth(cls)).options(**options).remote(*args)
        self._actors.append(actor)
        return RayWorker(name, actor, self._cluster.call_deadline_s)

    def wait_any(self, pending: list[Pending], deadline_s: float | None = None) -> Pending:
        limit = self._cluster.call_deadline_s if deadline_s is None else deadline_s
        ready, _ = ray.wait([p.ref for p in pending], num_returns=1, timeout=limit)
        if not ready:
            names = ", ".join(p.what for p in pending)
            raise FleetError(f"{names}: none answered within {limit:.0f} s; if the work is that long, raise cluster.call_deadline_s")
        return next(p for p in pending if p.ref == ready[0])

    def put(self, value: Any) -> Any:
        return ray.put(value)

    def shutdown(self) -> None:
        for actor in self._actors:
            ray.kill(actor)
        self._actors.clear()
        if self._started and os.getpid() == self._owner_pid:
            ray.shutdown()
            self._started = False
