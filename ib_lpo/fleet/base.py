"""Workers and pending calls: the thin seam between the system and where it runs.

Every part of the system is a plain class. A `Fleet` makes a `Worker` of it: a Ray actor, or an object in this process. Both
answer `call` with a `Pending`, whose `result` always has a deadline and a name. What goes wrong is classified where it happens, in the
worker (`fleet/host.py`), so that a caller knows from the type alone what to do:

    UserError     the user can mend it: end the run and show the message
    DataFailure   this item is bad wherever it is run: never retry it; the run ends, as nothing in it makes such an item
    WorkerDied    the worker is gone or unfit: kill it, replace it, do its work elsewhere
    Overdue       the deadline passed; the worker may be alive
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

from ib_lpo.errors import UserError


class FleetError(UserError):
    """A worker died, overran its deadline, or could not be placed. Says which one and what to do."""


class WorkerDied(FleetError):
    """The worker's process is gone, or unfit by its own report: it answers nothing any more. Holds the last lines of its stderr.

    Raised through another worker's call too, so compare `worker` before replacing anybody.
    """

    def __init__(self, message: str, worker: str):
        super().__init__(message, worker)
        self.worker = worker

    def __str__(self) -> str:
        return self.args[0]


class Overdue(FleetError):
    """A deadline passed. The worker may be alive and may still answer."""


class DataFailure(UserError):
    """This item cannot be worked on, whichever worker has it: never retried. The worker is fit."""


class Pending(Protocol):
    """The result of a call that may still be running. Hashable; equal to itself alone."""

    @property
    def what(self) -> str:
        """worker.method, for messages."""
        ...

    @property
    def done(self) -> bool:
        """Whether `result` gives its value, or raises, at once."""
        ...

    def result(self, deadline_s: float | None = None) -> Any:
        """The call's value. Raises what the call raised, WorkerDied, or Overdue after the deadline (default: the fleet's)."""
        ...


class Worker(Protocol):
    """A running part of the system. `name` is unique among the workers of a run: `successor` names replacements."""

    name: str

    def call(self, method: str, *args: Any, **kwargs: Any) -> Pending:
        """Start `method` on the worker. Calls on one worker run one at a time, in order."""
        ...

    def kill(self) -> None:
        """End its process, whatever it is doing, and return at once. Calls that it does not answer before raise WorkerDied. Idempotent."""
        ...


class Fleet(Protocol):
    """Starts, waits for and stops workers. Picklable, so that a worker can use it to wait for other workers."""

    log_dir: Path | None
    """Where each worker's stderr is kept, as <name>.err; on several machines a folder that all of them see. None: nowhere."""

    def spawn(self, cls: type, *args: Any, name: str, cpus: float = 0, gpus: float = 0, env: dict[str, str] | None = None) -> Worker:
        """Start `cls(*args)` as a worker named `name`; returns at once, construction runs in the worker.

        What construction raises is raised by every call. `env` holds no secrets: they come with the environment of the machine.
        """
        ...

    def wait_any(self, pending: list[Pending], deadline_s: float | None = None) -> Pending:
        """The first call of the list, in list order, among those that have finished; raises Overdue after the deadline."""
        ...

    def wait_some(self, pending: Collection[Pending], timeout_s: float | None = None) -> list[Pending]:
        """All calls that have finished, in list order, as soon as there is one; [] after the timeout (seconds; default: the fleet's)."""
        ...

    def put(self, value: Any) -> Any:
        """A reference to `value` that can be passed as an argument to several calls and arrives as the value."""
        ...

    def kill(self, worker: Worker) -> None:
        """`worker.kill()`; then its place is free for another."""
        ...

    def shutdown(self) -> None:
        """Stop every worker this fleet started. Idempotent."""
        ...


def successor(name: str, attempt: int) -> str:
    """The name of a worker's `attempt`-th replacement: engine-0, then engine-0.1, engine-0.2, ..."""
    return f"{name}.{attempt}" if attempt else name
