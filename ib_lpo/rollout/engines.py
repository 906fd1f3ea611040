"""All rollout engines as one: what generates, whoever of them is alive.

    driver ── submit ──► Pool ── advance ──► engine i ── generations ──► listener
                          ▲                     │ dies, hangs, or says that it is unfit
                          └── its requests ◄────┴──► a new engine i: STARTING ──► STALE ── stage, commit ──► HEALTHY

Everything happens in handlers of the driver's event loop. Calls on an engine run in the order in which they were made, so a publish stands
between two calls of `advance` without anybody waiting. Invariants
* An engine is in service exactly while it is HEALTHY; it becomes so only by committing the published version, verified.
* A version is committed by nobody before everybody in the round has staged it, and whoever else is to have it (`proceed`). One round at a
  time.
* A request of a dead engine is issued again, with its seed, to another one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from ib_lpo.fleet.base import FleetError, Pending, Worker, WorkerDied, successor
from ib_lpo.fleet.health import EngineState, Health
from ib_lpo.fleet.loop import EventLoop
from ib_lpo.manifest import Manifest
from ib_lpo.progress import say
from ib_lpo.rollout.busy import BusyTime
from ib_lpo.rollout.engine import RolloutEngine, engine_env
from ib_lpo.rollout.pool import Group, Pool
from ib_lpo.rollout.request import Generation, GenerationRequest
from ib_lpo.weights.delivery import Delivery, PublishError
from ib_lpo.weights.parcel import Parcel, Receipt, TransferError
from ib_lpo.weights.place import Place

_REFUSALS = 3  # after which an engine is replaced
_SUSPICIONS = 3  # the same
_ANSWERING = (EngineState.HEALTHY, EngineState.STALE)
Listener = Callable[[int, list[tuple[Group, Generation]]], None]


@dataclass(slots=True, eq=False)
class _Member:
    """One engine of the fleet; its replacement is another member."""

    index: int
    worker: Worker
    health: Health
    place: Place | None = None  # known once it has started
    refusals: int = 0  # versions in a row that it could not read
    suspicions: int = 0  # in a row, without a version taken between them


@dataclass(slots=True)
class _Round:
    """A version on its way to some members."""

    delivery: Delivery
    waiting: set[_Member]  # for their answer to this phase
    passed: list[_Member] = field(default_factory=list)  # of this phase
    committing: bool = False

    @property
    def parcel(self) -> Parcel:
        return self.delivery.parcel


class Engines:
    """`rollout.engines` of them. `listener(engine, [(group, generation), ...])` hears of everything that finishes, `on_version(version)`
    when a version is served."""

    def __init__(
        self,
        manifest: Manifest,
        device: str,
        loop: EventLoop,
        listener: Listener,
        make: Callable[[int, int], Worker] | None = None,
    ):
        """Starts them; `make(index, birth)` spawns one, by default a RolloutEngine."""
        self._manifest, self._cluster = manifest, manifest.cluster
        self._device, self._loop, self._listener = device, loop, listener
        self.on_version: Callable[[int], None] = lambda version: None
        self._make = self._rollout_engine if make is None else make
        count = manifest.rollout.engines
        self._pool = Pool(count, depth=1 if manifest.max_staleness == 0 else 2)
        self._births = [0] * count
        self._stale: set[_Member] = set()
        self._round: _Round | None = None
        self._delivery: Delivery | None = None  # published last
        self._unreadable = False  # what it delivers, for somebody at least
        self._restarts = 0
        self._epoch = 0
        self._busy = BusyTime(count)
        self.version: int | None = None  # committed by everybody in service
        self._members = [self._born(i) for i in range(count)]
        loop.every_tick(self._look)

    @property
    def started(self) -> bool:
        """Whether every engine has loaded."""
        return all(member.health.state is not EngineState.STARTING for member in self._members)

    @property
    def places(self) -> dict[str, Place]:
        """Where those are who can be sent a version, by name."""
        return {member.worker.name: member.place for member in self._members if member.health.state in _ANSWERING}

    @property
    def starved(self) -> bool:
        """Whether requests wait for an engine that serves only after another publish by the learner: the present version cannot be staged
        again."""
        if not self._stale or self._round is not None or self._refittable:
            return False
        return self._pool.stranded or any(self._pool.load(member.index) for member in self._stale)

    def submit(self, requests: Sequence[tuple[Group, list[GenerationRequest]]]) -> None:
        """Generate, by group; a group's requests share prefixes and go to one engine."""
        for group, of in requests:
            self._pool.submit(group, of)
        self._dispatch()

    def hold(self, group: Group) -> None:
        """The group is about to send more, which a repeatable run must have in its engine's next call (`Pool.hold`)."""
        self._pool.hold(group)

    def release(self, groups: Sequence[Group]) -> None:
        """The end of as many `hold`s; before the `submit` of what they sent."""
        for group in groups:
            self._pool.release(group)

    def forget(self, group: Group) -> None:
        """The group sends nothing more."""
        self._pool.forget(group)

    def publish(self, delivery: Delivery) -> None:
        """Send a version to everybody who is alive, as soon as nothing else is on its way, and return. It is served once `delivery` is
        over, and `on_version` heard of it; one that is `held` is staged, and not committed before `proceed`."""
        self._delivery = delivery
        if self._round is None:
            self._begin(delivery, self._answering())

    def proceed(self, delivery: Delivery) -> None:
        """All others have staged the version too."""
        delivery.held = False
        self._go_on()

    @property
    def publishing(self) -> bool:
        """Whether a version is on its way, or about to be."""
        return self._round is not None or (self._delivery is not None and not self._delivery.over)

    def empty_caches(self) -> None:
        """Empty the prefix caches, unless something is being generated."""
        if self._pool.unfinished == 0:
            self._tell("forget")

    def abandon(self) -> None:
        """Drop all requests; what is still under way is not heard of any more."""
        self._pool.abandon()
        self._epoch += 1
        self._round = self._delivery = self.version = None
        for member in self._members:
            member.health.withdrawn()
            self._pool.leave(member.index)
            if member.health.state is EngineState.STALE:
                self._stale.add(member)
        for member in [member for member in self._members if member.health.state is EngineState.SUSPECT]:
            self._lost(member, f"{member.worker.name}: was silent when all requests were dropped, and may go on with them")
        self._tell("abandon")

    def metrics(self) -> dict[str, float]:
        """Since the last call: `idle/engines`, share of engine time without a call; and counts of the run so far."""
        serving = sum(member.health.serves for member in self._members)
        return {
            "idle/engines": self._busy.idle_share(self._loop.now()),
            "fleet/engines_serving": float(serving),
            "fleet/engine_restarts": float(self._restarts),
            "fleet/reissued": float(self._pool.reissued),
            "fleet/in_flight": float(self._pool.unfinished),
        }

    # Births and deaths

    def _rollout_engine(self, index: int, birth: int) -> Worker:
        c, name = self._cluster, successor(f"engine-{index}", birth)
        gpus = c.engine_gpus * (self._device == "cuda")
        where = {"cpus": c.engine_cpus, "gpus": gpus, "env": engine_env(self._device)}
        return self._loop.fleet.spawn(RolloutEngine, self._manifest, index, self._device, name, name=name, **where)

    def _born(self, index: int) -> _Member:
        worker = self._make(index, self._births[index])
        self._births[index] += 1
        member = _Member(index, worker, Health.started(worker.name, self._cluster, now=self._loop.now(), current=self._current))
        self._loop.on(worker.call("place"), partial(self._started, member))
        return member

    def _started(self, member: _Member, pending: Pending) -> None:
        if answer := self._answer(member, pending, None):
            member.place = answer[0]
            member.health.ready()
            self._stale.add(member)
            self._refit()

    def _call(self, member: _Member, then: Callable[..., None], method: str, *args: object, round_: _Round | None = None) -> None:
        """A call that owes an answer; `then(value)` hears of it. `round_`: that it is part of."""
        member.health.called(self._loop.now())
        self._loop.on(member.worker.call(method, *args), partial(self._heard, member, then, round_))

    def _heard(self, member: _Member, then: Callable[..., None], round_: _Round | None, pending: Pending) -> None:
        answer = self._answer(member, pending, round_)
        if answer is not None:
            member.health.heard(self._loop.now())
            if member.health.state is EngineState.STALE:
                self._stale.add(member)
            then(*answer)
            self._refit()

    def _answer(self, member: _Member, pending: Pending, round_: _Round | None) -> list | None:
        """[value] of a member's call; None when the member is gone, or dies of this."""
        if member is not self._members[member.index]:
            return None
        try:
            return [pending.result(0.0)]
        except WorkerDied as error:
            self._lost(member, str(error))
        except TransferError as error:  # it could not read what it was sent, and is as fit as before
            self._refused(member, str(error), round_)
        return None

    def _lost(self, member: _Member, why: str) -> None:
        """Replace a member."""
        member.health.failed()
        self._stale.discard(member)
        self._loop.fleet.kill(member.worker)
        self._restarts += 1
        if self._births[member.index] > self._cluster.most_restarts:
            most = self._cluster.most_restarts
            raise FleetError(f"{why}\nengine-{member.index} was replaced {most} times, which is cluster.most_restarts={most}")
        again = self._pool.lost(member.index)
        self._busy.end(member.index, self._loop.now())
        say(f"{member.worker.name} is replaced, {again} requests go to others: {why}")
        self._members[member.index] = self._born(member.index)
        self._leave_round(member)
        self._dispatch()

    def _refused(self, member: _Member, why: str, round_: _Round | None) -> None:
        """Let a member wait for the next version: what it could not read may be gone, and the learner with it. One of a round that was
        dropped says nothing about the present one."""
        member.refusals += 1
        if member.refusals > _REFUSALS:
            self._lost(member, why)
            return
        member.health.heard(self._loop.now())
        if member.health.state is EngineState.STALE:
            self._stale.add(member)
        if round_ is self._round:
            self._unreadable = True
            self._leave_round(member)
        else:
            self._refit()

    def _look(self) -> None:
        """Judge by the clock who is late."""
        now = self._loop.now()
        for member in list(self._members):
            before, state = member.health.state, member.health.tick(now)
            if state is EngineState.DEAD:
                self._lost(member, f"{member.worker.name}: has not answered for {self._cluster.dead_after_s:.0f} s (cluster.dead_after_s)")
            elif state is EngineState.SUSPECT and state is not before:
                self._suspected(member)

    def _suspected(self, member: _Member) -> None:
        """Let nothing wait for a member, nor fit it anew for ever."""
        member.suspicions += 1
        if member.suspicions > _SUSPICIONS:
            late = f"has not answered for {self._cluster.suspect_after_s:.0f} s (cluster.suspect_after_s)"
            self._lost(member, f"{member.worker.name}: {late} {member.suspicions} times without taking a version in between")
            return
        self._stale.discard(member)
        self._pool.leave(member.index)
        self._busy.end(member.index, self._loop.now())
        self._leave_round(member)

    # Generating

    def _dispatch(self) -> None:
        now = self._loop.now()
        for index, requests in self._pool.calls().items():
            self._busy.begin(index, now)
            self._call(self._members[index], partial(self._advanced, index, self._epoch), "advance", requests)

    def _advanced(self, index: int, epoch: int, finished: list[Generation]) -> None:
        found = self._pool.answered(index, finished if epoch == self._epoch else [])
        if not self._pool.working(index):
            self._busy.end(index, self._loop.now())
        self._listener(index, found)
        self._dispatch()

    def _tell(self, method: str) -> None:
        for member in self._answering():
            self._call(member, lambda nothing: None, method)

    # Weights

    @property
    def _current(self) -> int | None:
        """The version that engines must hold to serve: that of a round from its commits on."""
        return self._round.parcel.version if self._round is not None and self._round.committing else self.version

    @property
    def _refittable(self) -> bool:
        return self._delivery is not None and self._delivery.over and not self._unreadable

    def _answering(self) -> list[_Member]:
        return [member for member in self._members if member.health.state in _ANSWERING]

    def _refit(self) -> None:
        """Bring those who are STALE up to the present version, unless a version is on its way."""
        if self._stale and self._round is None and self._refittable:
            refit = Delivery(self._delivery.parcel, self._loop.now())
            self._begin(refit, sorted(self._stale, key=lambda member: member.index))

    def _begin(self, delivery: Delivery, members: list[_Member]) -> None:
        self._round, self._unreadable = _Round(delivery, set(members)), False
        for member in members:
            self._transfer(member, self._round, self._staged, "stage", delivery.parcel)
        self._go_on()

    def _transfer(self, member: _Member, round_: _Round, then: Callable[..., None], method: str, what: Parcel | int) -> None:
        round_.delivery.calls[member.worker.name] += 1
        self._call(member, partial(then, member, round_), method, what, round_=round_)

    def _staged(self, member: _Member, round_: _Round, nothing: None) -> None:
        if round_ is self._round and member in round_.waiting and not round_.committing:
            self._pass(member)

    def _committed(self, member: _Member, round_: _Round, receipt: Receipt) -> None:
        if round_ is not self._round or member not in round_.waiting:
            return
        try:
            round_.delivery.received(member.worker.name, receipt, self._loop.now())
        except PublishError as error:
            self._lost(member, str(error))
            return
        if member.health.version is None and self._births[member.index] > 1:
            say(f"{member.worker.name} serves version {receipt.version}")
        member.refusals = member.suspicions = 0
        if member.health.state is EngineState.STALE:  # or it has the version already, which was sent once more for others
            member.health.refitted(round_.parcel.version)
        self._stale.discard(member)
        self._pool.enter(member.index)
        self._pass(member)

    def _pass(self, member: _Member) -> None:
        self._round.waiting.discard(member)
        self._round.passed.append(member)
        self._go_on()

    def _leave_round(self, member: _Member) -> None:
        if self._round is not None:
            self._round.waiting.discard(member)
            if member in self._round.passed:
                self._round.passed.remove(member)
            self._go_on()

    def _go_on(self) -> None:
        """To the next phase, when all have passed this one."""
        round_ = self._round
        if round_ is None or round_.waiting:
            return
        if not round_.committing:
            if round_.delivery.held:
                return
            self._commit(round_)
        if not round_.waiting:
            self._finish(round_)

    def _finish(self, round_: _Round) -> None:
        """Everybody who is left has committed the version."""
        self._round = None
        self.version = round_.parcel.version
        round_.delivery.serving |= {member.worker.name for member in self._members if member.health.serves}
        round_.delivery.over = True
        if self._delivery.over:
            self._refit()
        else:
            self._begin(self._delivery, self._answering())
        self._dispatch()
        self.on_version(self.version)

    def _commit(self, round_: _Round) -> None:
        """Everybody has staged the version: from here on it is the current one, and who does not hold it does not serve."""
        version = round_.parcel.version
        round_.committing, round_.waiting, round_.passed = True, set(round_.passed), []
        if version != self.version:
            for member in self._members:
                member.health.published(version)
                self._pool.leave(member.index)
                if member.health.state is EngineState.STALE:
                    self._stale.add(member)
        for member in round_.waiting:
            self._transfer(member, round_, self._committed, "commit", version)
