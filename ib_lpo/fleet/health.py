"""The health of one rollout engine: a pure state machine; whoever drives the engine tells it what happens, and looks at it.

            ready           refitted(current version)
  STARTING ──────► STALE ────────────────────────────► HEALTHY
                   ▲ │ ◄───── published(newer), withdrawn─│
              heard│ │ silent for suspect_after_s         │ silent for suspect_after_s
                   │ ▼                                    │
                  SUSPECT ◄───────────────────────────────┘
                     │ silent for dead_after_s
                     ▼
                    DEAD      also from every other state: failed, or not ready within start_deadline_s

Invariants: only a HEALTHY engine serves; it holds the current version, and it was heard from in time since it got it. There is no way to
HEALTHY but a refit to the current version, and no way out of DEAD: a replacement has a Health of its own.
An engine is silent while it owes an answer: from the call, or its last answer, whichever is later. One that owes nothing is not silent.
"""

from enum import StrEnum
from typing import Self

from ib_lpo.fleet.config import ClusterConfig


class EngineState(StrEnum):
    """Whether an engine may serve."""

    STARTING = "starting"
    """Its process is on the way up."""
    STALE = "stale"
    """It answers, but does not hold the current version for certain."""
    HEALTHY = "healthy"
    """It holds the current version and serves."""
    SUSPECT = "suspect"
    """It owes an answer for too long: it gets nothing new."""
    DEAD = "dead"
    """It is to be killed and replaced."""


EDGES: dict[EngineState, frozenset[EngineState]] = {
    EngineState.STARTING: frozenset({EngineState.STALE, EngineState.DEAD}),
    EngineState.STALE: frozenset({EngineState.HEALTHY, EngineState.SUSPECT, EngineState.DEAD}),
    EngineState.HEALTHY: frozenset({EngineState.STALE, EngineState.SUSPECT, EngineState.DEAD}),
    EngineState.SUSPECT: frozenset({EngineState.STALE, EngineState.DEAD}),
    EngineState.DEAD: frozenset(),
}
"""Every change of state that there is."""


class IllegalTransition(RuntimeError):
    """Whoever drives an engine told its health something that cannot happen."""


class Health:
    """One engine's record. `now` is a monotonic clock, seconds, the same one in every call."""

    def __init__(self, name: str, *, now: float, current: int | None, start_s: float, suspect_s: float, dead_s: float):
        """An engine whose process has just been asked for, while `current` is the published version (None: there is none yet)."""
        self.name = name
        self.state = EngineState.STARTING
        self.version: int | None = None
        self._current = current
        self._start_s, self._suspect_s, self._dead_s = start_s, suspect_s, dead_s
        self._owed = 0  # answers
        self._since = now  # of the silence

    @classmethod
    def started(cls, name: str, cluster: ClusterConfig, *, now: float, current: int | None) -> Self:
        """With the deadlines of the manifest."""
        c = cluster
        return cls(name, now=now, current=current, start_s=c.start_deadline_s, suspect_s=c.suspect_after_s, dead_s=c.dead_after_s)

    @property
    def serves(self) -> bool:
        """Whether it may be asked to generate."""
        return self.state is EngineState.HEALTHY

    def ready(self) -> None:
        """Its construction is done."""
        self._require("ready", EngineState.STARTING)
        self._move(EngineState.STALE)

    def published(self, version: int) -> None:
        """`version` is the current one from now on; whoever holds another is stale."""
        if self._current is not None and version <= self._current:
            raise IllegalTransition(f"{self.name}: version {version} published after {self._current}; versions only go up")
        self._current = version
        if self.state is EngineState.HEALTHY:
            self._move(EngineState.STALE)

    def withdrawn(self) -> None:
        """There is no current version any more, as the learner goes back to an older one: the next one published may have any number."""
        self._current = self.version = None
        if self.state is EngineState.HEALTHY:
            self._move(EngineState.STALE)

    def refitted(self, version: int) -> None:
        """Its receipt for `version` was checked. Of the current version only, and only of an engine that answers."""
        self._require(f"refitted to version {version}", EngineState.STALE)
        if version != self._current:
            raise IllegalTransition(f"{self.name}: refitted to version {version}, but the current one is {self._current}")
        self.version = version
        self._move(EngineState.HEALTHY)

    def called(self, now: float) -> None:
        """A call was made: an answer is owed."""
        self._require("called", EngineState.STALE, EngineState.HEALTHY)
        if not self._owed:
            self._since = now
        self._owed += 1

    def heard(self, now: float) -> None:
        """An answer came. A suspect is stale from here on: it missed what it was not told meanwhile."""
        self._require("heard", EngineState.STALE, EngineState.HEALTHY, EngineState.SUSPECT)
        if not self._owed:
            raise IllegalTransition(f"{self.name}: answered a call that was not made")
        self._owed, self._since = self._owed - 1, now
        if self.state is EngineState.SUSPECT:
            self._move(EngineState.STALE)

    def failed(self) -> None:
        """It died, is unfit, or could not be refitted. Idempotent."""
        if self.state is not EngineState.DEAD:
            self._move(EngineState.DEAD)

    def tick(self, now: float) -> EngineState:
        """The state at `now`, deadlines considered."""
        silent = now - self._since
        if self.state is EngineState.STARTING:
            if silent >= self._start_s:
                self._move(EngineState.DEAD)
        elif self.state is not EngineState.DEAD and self._owed:
            if silent >= self._dead_s:
                self._move(EngineState.DEAD)
            elif silent >= self._suspect_s and self.state is not EngineState.SUSPECT:
                self._move(EngineState.SUSPECT)
        return self.state

    def _require(self, event: str, *states: EngineState) -> None:
        if self.state not in states:
            raise IllegalTransition(f"{self.name}: {event} while {self.state}; it happens to {' or '.join(states)} engines only")

    def _move(self, to: EngineState) -> None:
        if to not in EDGES[self.state]:
            raise IllegalTransition(f"{self.name}: there is no way from {self.state} to {to}")
        self.state = to
