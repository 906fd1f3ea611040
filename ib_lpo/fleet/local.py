"""The in-process fleet: every worker is an object here, every call runs at once. For debugging, and bit-for-bit repeatable."""

import os
from dataclasses import dataclass
from typing import Any

from ib_lpo.fleet.base import Pending


@dataclass(frozen=True, slots=True)
class LocalPending:
    """A call that has already run."""

    value: Any = None
    error: Exception | None = None

    def result(self, deadline_s: float | None = None) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


@dataclass(frozen=True, slots=True)
class LocalWorker:
    """An object in this process."""

    name: str
    target: Any

    def call(self, method: str, *args: Any, **kwargs: Any) -> LocalPending:
        try:
            return LocalPending(value=getattr(self.target, method)(*args, **kwargs))
        except Exception as error:  # handed to whoever asks for the result, as a remote call would
            return LocalPending(error=error)


class LocalFleet:
    """Runs everything in the calling process. `env` of a worker is set in this process and must not contradict an earlier one."""

    def __init__(self) -> None:
        self._workers: list[LocalWorker] = []

    def spawn(self, cls: type, *args: Any, name: str, cpus: float = 0, gpus: float = 0, env: dict[str, str] | None = None) -> LocalWorker:
        os.environ.update(env or {})
        worker = LocalWorker(name, cls(*args))
        self._workers.append(worker)
        return worker

    def wait_any(self, pending: list[Pending], deadline_s: float | None = None) -> Pending:
        return pending[0]

    def put(self, value: Any) -> Any:
        return value

    def shutdown(self) -> None:
        for worker in reversed(self._workers):
            if hasattr(worker.target, "close"):
                worker.target.close()
        self._workers.clear()
