"""Workers and pending calls: the thin seam between the system and where it runs.

Every part of the system is a plain class. A `Fleet` makes a `Worker` of it: a Ray actor, or an object in this process. Both
answer `call` with a `Pending`, whose `result` always has a deadline and a name.
"""

from typing import Any, Protocol

from ib_lpo.errors import UserError


class FleetError(UserError):
    """A worker died, overran its deadline, or could not be placed. Says which one and what to do."""


class Pending(Protocol):
    """The result of a call that may still be running."""

    def result(self, deadline_s: float | None = None) -> Any:
        """The call's value. Raises what the call raised, or FleetError on death or after the deadline (default: the fleet's)."""
        ...


class Worker(Protocol):
    """A running part of the system."""

    name: str

    def call(self, method: str, *args: Any, **kwargs: Any) -> Pending:
        """Start `method` on the worker. Calls on one worker run one at a time, in order."""
        ...


class Fleet(Protocol):
    """Starts, waits for and stops workers. Picklable, so that a worker can use it to wait for other workers."""

    def spawn(self, cls: type, *args: Any, name: str, cpus: float = 0, gpus: float = 0, env: dict[str, str] | None = None) -> Worker:
        """Start `cls(*args)` as a worker named `name`; returns at once, construction runs in the worker."""
        ...

    def wait_any(self, pending: list[Pending], deadline_s: float | None = None) -> Pending:
        """The first call of the list, in list order, among those that have finished; raises FleetError after the deadline."""
        ...

    def put(self, value: Any) -> Any:
        """A reference to `value` that can be passed as an argument to several calls and arrives as the value."""
        ...

    def shutdown(self) -> None:
        """Stop every worker this fleet started. Idempotent."""
        ...
