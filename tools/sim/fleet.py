"""A fleet whose workers sleep in virtual time.

A worker is a plain object whose methods return (value, seconds): the call ends that much later on the virtual clock. Calls on one worker
run one at a time, in order, as on a real fleet. The clock moves in `wait_some` alone, to the next end of a call; and by the processor time
that the driver itself has used since the last wait, so a slow driver keeps the engines waiting here as it would in reality.
"""

import heapq
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from ib_lpo.fleet.base import Overdue, WorkerDied


@dataclass(eq=False, slots=True)
class SimPending:
    """A call; `due` on the virtual clock once it runs."""

    fleet: "SimFleet"
    worker: "SimWorker"
    method: str
    args: tuple[Any, ...]
    done: bool = False
    value: Any = None
    error: Exception | None = None

    @property
    def what(self) -> str:
        return f"{self.worker.name}.{self.method}"

    def result(self, deadline_s: float | None = None) -> Any:
        while not self.done:
            if not self.fleet.wait_some([self], deadline_s):
                raise Overdue(f"{self.what}: no answer within {deadline_s} s")
        if self.error is not None:
            raise self.error
        return self.value


@dataclass(eq=False, slots=True)
class SimWorker:
    """An object that answers in virtual time."""

    fleet: "SimFleet"
    name: str
    target: Any
    queue: deque[SimPending] = field(default_factory=deque)
    alive: bool = True
    hung: bool = False

    def call(self, method: str, *args: Any) -> SimPending:
        pending = SimPending(self.fleet, self, method, args)
        if not self.alive:
            self.fleet.fail(pending)
            return pending
        self.queue.append(pending)
        if len(self.queue) == 1:
            self.fleet.run(self)
        return pending

    def kill(self) -> None:
        """Everything it was asked for fails."""
        self.alive = False
        failed, self.queue = list(self.queue), deque()
        for pending in failed:
            self.fleet.fail(pending)


class SimFleet:
    """`now` is the virtual clock, seconds."""

    log_dir: Path | None = None

    def __init__(self) -> None:
        self.clock = 0.0
        self.driver_seconds = 0.0  # processor time of the driver
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._left = time.process_time()

    def now(self) -> float:
        return self.clock

    def host(self, name: str, target: Any) -> SimWorker:
        """A worker around `target`."""
        return SimWorker(self, name, target)

    def at(self, seconds: float, happens: Callable[[], None]) -> None:
        """Let something happen `seconds` from now."""
        heapq.heappush(self._events, (self.clock + seconds, next(self._numbers), happens))

    def run(self, worker: SimWorker) -> None:
        """Begin the first call in the worker's queue."""
        pending, began = worker.queue[0], time.process_time()
        value, seconds = getattr(worker.target, pending.method)(*pending.args)
        self._left += time.process_time() - began  # the simulation's own time, not the driver's
        self.at(seconds, lambda: self._end(worker, pending, value))

    def fail(self, pending: SimPending) -> None:
        name = pending.worker.name
        pending.done, pending.error = True, WorkerDied(f"{pending.what}: {name} is gone", name)

    def wait_some(self, pending: Collection[SimPending], timeout_s: float | None = None) -> list[SimPending]:
        self._charge()
        end = self.clock + (1e9 if timeout_s is None else timeout_s)
        while not (ready := [one for one in pending if one.done]) and self._events and self._events[0][0] <= end:
            self._next()
        if not ready:
            self.clock = max(self.clock, end)
        self._left = time.process_time()
        return ready

    def kill(self, worker: SimWorker) -> None:
        worker.kill()

    def put(self, value: Any) -> Any:
        return value

    def shutdown(self) -> None:
        """Nothing runs outside of this process."""

    def _charge(self) -> None:
        spent = time.process_time() - self._left
        self.driver_seconds += spent
        end = self.clock + spent
        while self._events and self._events[0][0] <= end:
            self._next()
        self.clock = max(self.clock, end)

    def _next(self) -> None:
        due, _, happens = heapq.heappop(self._events)
        self.clock = max(self.clock, due)
        happens()

    def _end(self, worker: SimWorker, pending: SimPending, value: Any) -> None:
        if pending.done or worker.hung:
            return
        pending.done, pending.value = True, value
        worker.queue.popleft()
        if worker.queue:
            self.run(worker)
