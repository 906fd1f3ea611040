"""Brings every version of the policy from the learner to all who hold a copy of it.

    learner ranks ── parcel ──► scorers (idle: nobody scores during a publish) and rollout engines (which go on generating)

In a synchronous run (max_staleness: 0) `publish` returns when everybody serves the version. Otherwise it returns as soon as the learner is
free again: the engines take the version one by one between two of their calls, and the next publish waits until they have.
"""

import time

from ib_lpo.fleet.base import Pending, Worker
from ib_lpo.fleet.kept import Kept
from ib_lpo.fleet.loop import EventLoop
from ib_lpo.learner.group import LearnerGroup
from ib_lpo.manifest import Manifest
from ib_lpo.rollout.engines import Engines
from ib_lpo.weights.parcel import Parcel, Receipt, TransferError
from ib_lpo.weights.place import Place, Route
from ib_lpo.weights.publish import check_receipt, delivery_metrics


class Publisher:
    """`scorers`: those that follow the policy."""

    def __init__(self, manifest: Manifest, loop: EventLoop, learner: LearnerGroup, engines: Engines):
        self._synchronous = manifest.max_staleness == 0
        self._loop, self._learner, self._engines = loop, learner, engines
        self._scorers: list[Kept] = []
        self._parcel: Parcel | None = None

    def follow(self, scorers: list[Kept]) -> None:
        """Scorers that get every version too."""
        self._scorers = scorers

    def prepare(self, scorer: Worker) -> list[Pending]:
        """What a new scorer must have done before it scores: take the present version, if there is one."""
        parcel = self._parcel
        return [] if parcel is None else [scorer.call("take", parcel)]

    def publish(self, version: int) -> dict[str, float]:
        """`publish/...` metrics. Raises PublishError, and what the learner raises."""
        began, receipts = self._send(version)
        if self._synchronous:
            self._loop.until(lambda: self._engines.version == version, f"the publish of version {version}")
        return delivery_metrics(self._parcel, [*receipts, *self._engines.receipts], time.monotonic() - began)

    def withdraw(self) -> None:
        """The learner is lost, and with it what it published: nobody is given that any more."""
        self._parcel = None

    def again(self) -> None:
        """Send the present version once more, to engines that cannot get it in another way."""
        self._send(self._parcel.version)

    def _send(self, version: int) -> tuple[float, list[Receipt]]:
        """To everybody; the engines take it when they come to it. Returns when the parcel was there, and the scorers' receipts. Raises
        LearnerLost, also when a scorer cannot read what the learner sent because that is gone."""
        self._loop.until(lambda: not self._engines.publishing, "the publish of the version before")
        try:
            parcel = self._learner.publish(version, Route(self._places(), self._loop.fleet))
            began, self._parcel = time.monotonic(), parcel
            self._engines.publish(parcel)
            return began, self._to_scorers(parcel)
        except TransferError:
            self._learner.require_alive()  # a parcel ends with the learner that made it
            raise

    def _places(self) -> dict[str, Place]:
        scorers = self._loop.gather([scorer.call("place") for scorer in self._scorers], "where the scorers are")
        return self._engines.places | dict(zip([scorer.name for scorer in self._scorers], scorers, strict=True))

    def _to_scorers(self, parcel: Parcel) -> list[Receipt]:
        self._loop.gather([scorer.call("stage", parcel) for scorer in self._scorers], "stage")
        receipts = self._loop.gather([scorer.call("take", parcel) for scorer in self._scorers], "commit")
        for receipt in receipts:
            check_receipt(receipt, parcel)
        return receipts
