"""A worker that is replaced when it dies, for services whose calls may be made again: verifier, latent sampler, scorers.

Invariant: every call is answered by one worker that was alive, and prepared, for as long as it took; a call that was under way when the
worker died is made again on its replacement, from the beginning. Nobody waits for a replacement: its preparation and its calls are
queued on it, and whoever looks at a call (`done`, `result`, or a wait of the fleet) moves it on.
"""

from collections.abc import Callable, Sequence
from typing import Any

from ib_lpo.errors import UserError
from ib_lpo.fleet.base import Overdue, Pending, Worker, WorkerDied
from ib_lpo.progress import say

Make = Callable[[int], Worker]
Prepare = Callable[[Worker], Sequence[Pending] | None]


class Kept:
    """Looks like the worker it keeps."""

    def __init__(self, make: Make, prepare: Prepare | None = None, most: int = 0):
        """`make(attempt)` spawns the worker, named `successor(name, attempt)`; attempt 0 is the first one.

        `prepare(worker)` starts the calls that a worker must have answered before any other, weights for example, and returns them. At
        most `most` replacements are made (cluster.most_restarts).
        """
        self._make, self._prepare, self._most = make, prepare, most
        self.restarts = 0
        self._unheard = False  # a replacement that has answered nothing yet
        self.worker = make(0)
        self.name = self.worker.name
        self._prepared: list[Pending] | None = self._preparation()

    def call(self, method: str, *args: Any, **kwargs: Any) -> "KeptPending":
        """As `Worker.call`. The pending raises WorkerDied only when no replacement is left, and whatever else a call raises at once."""
        return KeptPending(self, method, args, kwargs)

    def kill(self) -> None:
        """Kill the present worker; the next look at a call replaces it."""
        self.worker.kill()

    def replace(self, dead: Worker, why: WorkerDied) -> None:
        """Put a new worker in the place of `dead`, unless that has happened. Raises WorkerDied after the last replacement."""
        if dead is not self.worker:
            return
        if self.restarts >= self._most:
            raise WorkerDied(f"{why}\n{self.name} was replaced {self.restarts} times (cluster.most_restarts={self._most})", why.worker)
        dead.kill()
        self.restarts += 1
        say(f"{dead.name} is replaced: {why}")
        self.worker, self._unheard = self._make(self.restarts), True
        self._prepared = self._preparation()

    def heard(self, worker: Worker) -> None:
        """`worker` answered a call."""
        if self._unheard and worker is self.worker:
            self._unheard = False
            say(f"{worker.name} answers")

    def unprepared(self, worker: Worker) -> None:
        """The preparation of `worker` failed: the next call prepares it anew, by what holds then."""
        if worker is self.worker:
            self._prepared = None

    def issue(self, method: str, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Worker, list[Pending]]:
        """Make a call on the present worker: that worker, and what must be answered, the call last."""
        if self._prepared is None:
            self._prepared = self._preparation()
        return self.worker, [*self._prepared, self.worker.call(method, *args, **kwargs)]

    def _preparation(self) -> list[Pending]:
        return list((self._prepare(self.worker) if self._prepare else None) or [])


class KeptPending:
    """A call of a kept worker, made again whenever that dies."""

    def __init__(self, kept: Kept, method: str, args: Sequence[Any], kwargs: dict[str, Any]):
        self._kept, self._request = kept, (method, args, kwargs)
        self._worker, self._steps = kept.issue(*self._request)
        self._value: Any = None
        self._error: UserError | None = None

    @property
    def what(self) -> str:
        return f"{self._kept.name}.{self._request[0]}"

    @property
    def ref(self) -> Any:
        """What a fleet waits for: that of the call that must be answered next; None when nothing is left to wait for."""
        return self._steps[0].ref if self._steps else None

    @property
    def done(self) -> bool:
        """Moves on as far as answers have come; a dead worker is replaced here."""
        while self._steps and self._steps[0].done:
            self._advance(None)
        return not self._steps

    def result(self, deadline_s: float | None = None) -> Any:
        """As of any pending; the deadline is that of each worker."""
        while self._steps:
            self._advance(deadline_s)
        if self._error is not None:
            raise self._error
        return self._value

    def _advance(self, deadline_s: float | None) -> None:
        """Take the next answer. Raises Overdue, with nothing lost."""
        try:
            self._value = self._steps[0].result(deadline_s)
            self._steps.pop(0)
            if not self._steps:
                self._kept.heard(self._worker)
        except Overdue:
            raise
        except WorkerDied as died:
            self._again(died)
        except UserError as error:
            if len(self._steps) > 1:
                self._kept.unprepared(self._worker)
            self._end(error)

    def _again(self, died: WorkerDied) -> None:
        """Make the call on a replacement, unless another worker's death came through this one, or no replacement is left."""
        if died.worker != self._worker.name:
            self._end(died)
            return
        try:
            self._kept.replace(self._worker, died)
        except WorkerDied as last:
            self._end(last)
            return
        self._worker, self._steps = self._kept.issue(*self._request)

    def _end(self, error: UserError) -> None:
        self._error, self._steps = error, []
