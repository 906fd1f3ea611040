"""The in-process fleet: every worker is an object here, every call runs at once. For debugging, and bit-for-bit repeatable.

Failures are classified as in a process of its own; here the original exception is the cause of the WorkerDied.
"""

import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ib_lpo.errors import UserError
from ib_lpo.fleet.base import Overdue, Pending, Worker, WorkerDied
from ib_lpo.fleet.host import Host


@dataclass(frozen=True, slots=True, eq=False)
class LocalPending:
    """A call that has already run."""

    what: str
    value: Any = None
    error: UserError | None = None

    @property
    def done(self) -> bool:
        return True

    def result(self, deadline_s: float | None = None) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


class LocalWorker:
    """An object in this process."""

    def __init__(self, name: str, cls: type, *args: Any):
        self.name = name
        self._host: Host | None = Host(name, None, cls, *args)

    @property
    def target(self) -> Any:
        """The object; None when it could not be made, or was killed."""
        return None if self._host is None else self._host.target

    def call(self, method: str, *args: Any, **kwargs: Any) -> LocalPending:
        what = f"{self.name}.{method}"
        if self._host is None:
            return LocalPending(what, error=WorkerDied(f"{what}: the worker was killed", self.name))
        try:
            return LocalPending(what, value=self._host.invoke(method, *args, **kwargs))
        except UserError as error:  # handed to whoever asks for the result, as a remote call would
            return LocalPending(what, error=error)

    def kill(self) -> None:
        target, self._host = self.target, None
        if hasattr(target, "close"):
            target.close()


class LocalFleet:
    """Runs everything in the calling process. `env` of a worker is set in this process and must not contradict an earlier one."""

    log_dir: Path | None = None

    def __init__(self) -> None:
        self._workers: list[LocalWorker] = []

    def spawn(self, cls: type, *args: Any, name: str, cpus: float = 0, gpus: float = 0, env: dict[str, str] | None = None) -> LocalWorker:
        os.environ.update(env or {})
        worker = LocalWorker(name, cls, *args)
        self._workers.append(worker)
        return worker

    def wait_any(self, pending: list[Pending], deadline_s: float | None = None) -> Pending:
        if finished := self.wait_some(pending):
            return finished[0]
        raise Overdue("none of no calls can finish; wait for at least one")

    def wait_some(self, pending: Collection[Pending], timeout_s: float | None = None) -> list[Pending]:
        """All of them, as all have run. With none to wait for it sleeps until the timeout."""
        if not pending:
            time.sleep(timeout_s or 0.0)
        return [one for one in pending if one.done]

    def put(self, value: Any) -> Any:
        return value

    def kill(self, worker: Worker) -> None:
        worker.kill()
        self._workers = [one for one in self._workers if one is not worker]

    def shutdown(self) -> None:
        for worker in reversed(self._workers):
            worker.kill()
        self._workers.clear()
