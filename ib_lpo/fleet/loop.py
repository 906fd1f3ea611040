"""The driver's event loop: whatever the driver waits for, it goes on serving everything else.

A call is either awaited (`gather`, `until`) or has a handler (`on`), which runs in the driver's thread as soon as the call is finished
while the driver waits for anything. Handlers may start calls and add handlers; none may wait. Nothing runs between two waits, so all
state in the driver is changed by one thread at known places.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ib_lpo.fleet.base import Fleet, Overdue, Pending

Handler = Callable[[Pending], None]
TICK_S = 1.0  # longest time between two looks at the clock


@dataclass(frozen=True, slots=True)
class Limit:
    """How long a wait may last, seconds, and the setting that says so."""

    seconds: float
    setting: str

    def overdue(self, what: str, missing: Iterable[Pending]) -> Overdue:
        """The error that names the calls without an answer."""
        calls = Counter(pending.what for pending in missing)
        names = ", ".join(f"{name} ({count} calls)" if count > 1 else name for name, count in sorted(calls.items())) or "nothing"
        return Overdue(f"{what}: waited {self.seconds:.0f} s in vain for {names}; if that is work, raise {self.setting}")


class EventLoop:
    """One per driver. `tick` runs at least every TICK_S seconds while the driver waits."""

    def __init__(self, fleet: Fleet, deadline_s: float, now: Callable[[], float] = time.monotonic):
        """`deadline_s` (cluster.call_deadline_s): longest wait of `gather`, and longest time in which nothing happens in `until`, unless
        they have a limit of their own; `now`: a monotonic clock, seconds."""
        self.fleet, self.now = fleet, now
        self._limit = Limit(deadline_s, "cluster.call_deadline_s")
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

    def gather(self, pending: Sequence[Pending], what: str, limit: Limit | None = None) -> list[Any]:
        """The values of all calls, in order. Raises what the first call to fail raised, as soon as it fails, and Overdue."""
        left, limit = set(pending), limit or self._limit
        end = self.now() + limit.seconds

        def heard(one: Pending) -> None:
            one.result()
            left.discard(one)

        for one in pending:
            self.on(one, heard)
        try:
            while left:
                if self.now() >= end:
                    raise limit.overdue(what, left)
                self._serve(end)
        finally:
            for one in left:
                self._handlers.pop(one, None)
        return [one.result() for one in pending]

    def until(self, holds: Callable[[], bool], what: str, limit: Limit | None = None) -> None:
        """Serve until `holds`. Raises Overdue when no handler ran for that long, and whatever a handler raises."""
        limit = limit or self._limit
        end = self.now() + limit.seconds
        while not holds():
            if self.now() >= end:
                raise limit.overdue(what, self._handlers)
            handled = self._handled
            self._serve(end)
            if self._handled > handled:
                end = self.now() + limit.seconds

    def _serve(self, end: float) -> None:
        """One round of waiting: run the handlers of what is finished."""
        for pending in self.fleet.wait_some(self._handlers, max(0.0, min(TICK_S, end - self.now()))):
            if handler := self._handlers.pop(pending, None):
                self._handled += 1
                handler(pending)
        if self.now() >= self._next_tick:  # after the answers that waited for the driver
            self._next_tick = self.now() + TICK_S
            for tick in self._ticks:
                tick()
