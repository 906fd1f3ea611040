"""Which engine has which request: the pool's book-keeping, as a pure state machine. No Ray, no vLLM, no clock.

    submit ──► inbox of an engine ──calls──► held by the engine ──answered──► delivered
                 ▲                              │
                 └────────── lost ◄─────────────┘   (the engine died: same requests, same seeds, another engine)

Invariants: every request that was submitted is delivered exactly once, or still stands in an inbox or with an engine. All requests of a
group (a question's roots and branches) go to one engine, whose prefix cache holds what they share, for as long as it is in service. A
group goes to the engine with the fewest requests, the first of these: where nothing else is under way, groups are dealt in turn.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from ib_lpo.rollout.request import Generation, GenerationRequest

Group = Hashable


@dataclass(slots=True)
class _Seat:
    """One engine's side of the book."""

    in_service: bool = False
    calls: int = 0  # under way
    inbox: list[GenerationRequest] = field(default_factory=list)  # for its next call
    held: dict[str, GenerationRequest] = field(default_factory=dict)  # in its hands, by id
    groups: set[Group] = field(default_factory=set)
    holds: int = 0  # groups of this engine that are about to send more

    @property
    def load(self) -> int:
        return len(self.inbox) + len(self.held)


class Pool:
    """`depth` calls may be under way per engine: 1, and an engine waits for what its own answers make possible, so that it sees the same
    calls in every run; 2, and its next call is there already when it answers."""

    def __init__(self, engines: int, depth: int):
        self._seats = [_Seat() for _ in range(engines)]
        self._depth = depth
        self._home: dict[Group, int | None] = {}  # None: waits for an engine in service
        self._group_of: dict[str, Group] = {}
        self._homeless: dict[Group, list[GenerationRequest]] = {}
        self._holds: dict[Group, list[tuple[int, _Seat]]] = {}  # open ones, with the seats that they hold
        self._touched: set[int] = set()  # engines whose next call may have become due
        self.reissued = 0

    @property
    def unfinished(self) -> int:
        """Requests that are not delivered yet."""
        return len(self._group_of)

    @property
    def stranded(self) -> bool:
        """Whether requests wait because no engine is in service."""
        return bool(self._homeless)

    def load(self, engine: int) -> int:
        """Requests that the engine has, or that wait for it."""
        return self._seats[engine].load

    def working(self, engine: int) -> bool:
        """Whether a call of the engine is under way."""
        return self._seats[engine].calls > 0

    def enter(self, engine: int) -> None:
        """The engine serves from now on."""
        self._seats[engine].in_service = True
        self._touched.add(engine)
        homeless, self._homeless = self._homeless, {}
        for group, requests in homeless.items():
            self._settle(group)
            self._deal(group, requests)

    def leave(self, engine: int) -> None:
        """It gets nothing new; what it holds stays with it."""
        self._seats[engine].in_service = False

    def lost(self, engine: int) -> int:
        """The engine is gone, with its calls: all of its requests go to others. Returns how many it had."""
        seat, self._seats[engine] = self._seats[engine], _Seat()
        for group in seat.groups:
            self._home[group] = None
        again = [*seat.held.values(), *seat.inbox]
        for request in again:
            self.submit(self._group_of[request.id], [request], again=True)
        self.reissued += len(again)
        return len(again)

    def submit(self, group: Group, requests: Iterable[GenerationRequest], *, again: bool = False) -> None:
        """Take requests of a group. Raises ValueError for an id that is not delivered yet."""
        wanted = list(requests)
        for request in wanted:
            if not again and request.id in self._group_of:
                raise ValueError(f"{request.id}: requested twice at the same time; ids must be unique")
            self._group_of[request.id] = group
        if self._home.get(group) is None:
            self._settle(group)
        self._deal(group, wanted)

    def hold(self, group: Group) -> None:
        """With a depth of 1: no call of the group's engine until `release`; what the group sends belongs into the next one."""
        if (home := self._home[group]) is not None:
            self._seats[home].holds += 1
            self._holds.setdefault(group, []).append((home, self._seats[home]))

    def release(self, group: Group) -> None:
        """The end of a `hold`, of the engine that was held: the group's may be another one by now."""
        if holds := self._holds.get(group):
            engine, seat = holds.pop(0)
            seat.holds -= 1
            self._touched.add(engine)

    def forget(self, group: Group) -> None:
        """The group sends nothing more, and has got all that it asked for."""
        self._holds.pop(group, None)
        home = self._home.pop(group)
        if home is not None:
            self._seats[home].groups.discard(group)

    def calls(self) -> dict[int, list[GenerationRequest]]:
        """The calls to make now, by engine, with their new requests. They are under way from here on."""
        touched, self._touched = sorted(self._touched), set()
        return {i: self._call(i) for i in touched if self._due(self._seats[i])}

    def answered(self, engine: int, finished: Iterable[Generation]) -> list[tuple[Group, Generation]]:
        """A call's answer, with the group of every generation. Raises KeyError for one that the engine was not asked for."""
        seat = self._seats[engine]
        seat.calls -= 1
        self._touched.add(engine)
        found = []
        for generation in finished:
            del seat.held[generation.id]
            found.append((self._group_of.pop(generation.id), generation))
        return found

    def abandon(self) -> None:
        """Forget all requests and groups. Engines stay as they are; the caller makes them forget too."""
        self._home.clear()
        self._group_of.clear()
        self._homeless.clear()
        self._holds.clear()
        for seat in self._seats:
            seat.inbox, seat.held, seat.groups, seat.holds = [], {}, set(), 0

    def _due(self, seat: _Seat) -> bool:
        if not seat.in_service or seat.calls >= self._depth or (seat.holds and self._depth == 1):
            return False
        return bool(seat.inbox) or bool(seat.held)

    def _call(self, engine: int) -> list[GenerationRequest]:
        seat = self._seats[engine]
        requests, seat.inbox = seat.inbox, []
        seat.held |= {request.id: request for request in requests}
        seat.calls += 1
        self._touched.add(engine)  # for another one, where the depth allows
        return requests

    def _settle(self, group: Group) -> None:
        """Give the group an engine, if there is any in service."""
        serving = [i for i, seat in enumerate(self._seats) if seat.in_service]
        self._home[group] = min(serving, key=lambda i: self._seats[i].load, default=None)
        if self._home[group] is not None:
            self._seats[self._home[group]].groups.add(group)

    def _deal(self, group: Group, requests: list[GenerationRequest]) -> None:
        home = self._home[group]
        if home is None:
            self._homeless.setdefault(group, []).extend(requests)
        else:
            self._seats[home].inbox += requests
            self._touched.add(home)
