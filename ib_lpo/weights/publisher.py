"""Brings every version of the policy from the learner to all who hold a copy of it.

    learner ranks ── parcel ──► scorers (idle: nobody scores during a publish) and rollout engines (which go on generating)

Engines and scorers stage at the same time, and the engines commit nothing before the scorers have staged. In a synchronous run
(max_staleness: 0) `publish` returns when everybody serves the version. Otherwise it returns as soon as the learner is free again: the
engines take the version one by one between two of their calls, and the next publish waits until they have.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ib_lpo.fleet.base import Pending, Worker, WorkerDied
from ib_lpo.fleet.kept import Kept
from ib_lpo.fleet.loop import EventLoop
from ib_lpo.learner.group import LearnerGroup
from ib_lpo.manifest import Manifest
from ib_lpo.rollout.engines import Engines
from ib_lpo.weights.again import persist
from ib_lpo.weights.delivery import Delivery, PublishError, check_receipt
from ib_lpo.weights.parcel import Parcel, Receipt
from ib_lpo.weights.place import Place, Route


class Publisher:
    """`scorers`: those that follow the policy."""

    def __init__(self, manifest: Manifest, loop: EventLoop, learner: LearnerGroup, engines: Engines):
        self._synchronous = manifest.max_staleness == 0
        self._loop, self._learner, self._engines = loop, learner, engines
        self._scorers: list[Kept] = []
        self._parcel: Parcel | None = None
        self._unreported: Delivery | None = None  # the engines take it while the learner goes on

    def follow(self, scorers: list[Kept]) -> None:
        """Scorers that get every version too."""
        self._scorers = scorers

    def prepare(self, scorer: Worker) -> list[Pending]:
        """What a new scorer must have done before it scores: take the present version, if there is one, verified."""
        parcel = self._parcel
        return [] if parcel is None else [_Verified(scorer.call("take", parcel), scorer.name, replace(parcel, content=None))]

    def publish(self, version: int) -> dict[str, float]:
        """`publish/...` metrics of this publish; in an overlapped run of the one before it, which has ended by now: of the first one only
        that none has. Raises LearnerLost, and FleetError when a scorer cannot be brought to the version."""
        delivery = self._send(version)
        if self._synchronous:
            self._loop.until(lambda: delivery.over, f"the publish of version {version}")
            return delivery.metrics()
        before, self._unreported = self._unreported, delivery
        return {"publish/syncs": 0.0} if before is None else before.metrics()

    def withdraw(self) -> None:
        """The learner is lost, and with it what it published: nobody is given that any more."""
        self._parcel = self._unreported = None

    def again(self) -> None:
        """Send the present version once more, to engines that cannot get it in another way."""
        self._send(self._parcel.version)

    def _send(self, version: int) -> Delivery:
        """To everybody; the engines take it when they come to it. Returns when the scorers have it."""
        self._loop.until(lambda: not self._engines.publishing, "the publish of the version before")
        self._parcel = parcel = self._learner.publish(version, Route(self._places(), self._loop.fleet))
        delivery = Delivery(parcel, self._loop.now(), held=True)
        self._engines.publish(delivery)
        self._scorers_do("stage", delivery)
        self._engines.proceed(delivery)
        for scorer, receipt in zip(self._scorers, self._scorers_do("take", delivery), strict=True):
            self._accept(scorer, receipt, delivery)
        return delivery

    def _places(self) -> dict[str, Place]:
        """Scorers are asked, which finds those that died since they last scored: nobody waits for them in a broadcast."""
        found = self._ask(self._scorers, lambda scorer: scorer.call("place"), "where the scorers are")
        return self._engines.places | dict(zip([scorer.name for scorer in self._scorers], found, strict=True))

    def _scorers_do(self, method: str, delivery: Delivery) -> list[Any]:
        def call(scorer: Kept) -> Pending:
            delivery.calls[scorer.name] += 1
            return scorer.call(method, delivery.parcel)

        return self._ask(self._scorers, call, f"{method} of version {delivery.parcel.version} by the scorers")

    def _ask(self, scorers: list[Kept], call: Callable[[Kept], Pending], what: str) -> list[Any]:
        """All at once; again those that could not read what they were sent, unless the learner that sent it is gone."""
        return persist(self._loop, [partial(call, scorer) for scorer in scorers], what, self._learner.require_alive)

    def _accept(self, scorer: Kept, receipt: Receipt, delivery: Delivery) -> None:
        """Replace the scorer for as long as its receipts are wrong. Raises WorkerDied when no replacement is left."""
        delivery.serving.add(scorer.name)
        while scorer.name not in delivery.receipts:
            try:
                delivery.received(scorer.name, receipt, self._loop.now())
            except PublishError as error:
                worker = scorer.worker
                scorer.replace(worker, WorkerDied(str(error), worker.name))
                receipt = self._ask([scorer], lambda scorer: scorer.call("take", delivery.parcel), "the version of a new scorer")[0]


@dataclass(frozen=True, slots=True, eq=False)
class _Verified:
    """A pending `take` of a worker, who is to be replaced when its receipt is wrong."""

    pending: Pending
    worker: str
    parcel: Parcel  # without its content, which this would keep alive

    @property
    def what(self) -> str:
        return self.pending.what

    @property
    def ref(self) -> Any:
        """What a fleet waits for."""
        return self.pending.ref

    @property
    def done(self) -> bool:
        return self.pending.done

    def result(self, deadline_s: float | None = None) -> Receipt:
        """As of any pending. Raises WorkerDied for a wrong receipt."""
        receipt: Receipt = self.pending.result(deadline_s)
        try:
            check_receipt(receipt, self.parcel)
        except PublishError as error:
            raise WorkerDied(str(error), self.worker) from None
        return receipt
