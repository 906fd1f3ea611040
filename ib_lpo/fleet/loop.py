"""The driver's event loop: whatever the driver waits for, it goes on serving everything else.

A call is either awaited (`gather`, `until`) or has a handler (`on`), which runs in the driver's thread as soon as the call is finished
while the driver waits for anything. Handlers may start calls and add handlers; none may wait. Nothing runs between two waits, so all
state in the driver is changed by one thread at known places.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from ib_lpo.fleet.base import Fleet, Overdue, Pending

Handler = Callable[[Pending], None]
TICK_S = 1.0  # longest time between two looks at the clock


class EventLoop:
    """One per driver. `tick` runs at least every TICK_S seconds while the driver waits."""

    def __init__(self, fleet: Fleet, deadline_s: float, now: Callable[[], float] = time.monotonic):
        """`deadline_s`: longest wait of `gather` without a deadline of its own, and longest time in which nothing happens in `until`;
        `now`: a monotonic clock, seconds."""
        self.fleet, self.now = fleet, now
        self._deadline_s = deadline_s
        self._handlers: dict[Pending, Handler] = {}
        self._handled = 0
        self._next_tick = 0.0
        self._ticks: list[Callable[[], None]] = []

    def on(self, pending: Pending, handler: Handler) -> None:
        """Call `handler(pending)` once it is finished; `pending.result()` then gives its value or raises at once."""
        self._handlers[pending] = handler

    def every_tick(self, tick: Callable[[], None]) -> None:
        """Look at clocks: `tick` runs now and then while the driver waits."""
        self._ticks.append(tick)

    def gather(self, pending: Sequence[Pending], what: str, deadline_s: float | None = None) -> list[Any]:
        """The values of all calls, in order. Raises what the first call to fail raised, as soon as it fails, and Overdue."""
        left, end = set(pending), self._end(deadline_s)
        while left:
            for done in self._serve(left, end, what):
                done.result()
                left.discard(done)
        return [one.result() for one in pending]

    def until(self, holds: Callable[[], bool], what: str, deadline_s: float | None = None) -> None:
        """Serve until `holds`. Raises Overdue when no handler ran for that long, and whatever a handler raises."""
        end = self._end(deadline_s)
        while not holds():
            handled = self._handled
            self._serve(set(), end, what)
            if self._handled > handled:
                end = self._end(deadline_s)

    def _end(self, deadline_s: float | None) -> float:
        return self.now() + (self._deadline_s if deadline_s is None else deadline_s)

    def _serve(self, awaited: set[Pending], end: float, what: str) -> list[Pending]:
        """One round of waiting: run the handlers of what is finished, return what is awaited among it."""
        left = end - self.now()
        if left <= 0:
            raise Overdue(f"{what}: not done in time; if the work is that long, raise cluster.call_deadline_s")
        ready = self.fleet.wait_some([*awaited, *self._handlers], min(TICK_S, left))
        self._handle(ready)
        if self.now() >= self._next_tick:  # after the answers that waited for the driver
            self._next_tick = self.now() + TICK_S
            for tick in self._ticks:
                tick()
        return [one for one in ready if one in awaited]

    def _handle(self, ready: Sequence[Pending]) -> None:
        for pending in ready:
            if handler := self._handlers.pop(pending, None):
                self._handled += 1
                handler(pending)
