"""What becomes of a version among its receivers: who was called how often, who proved that it holds it; and the metrics of that.

Filled in by whoever makes the calls: `weights/publish.py`, or the engines and the publisher together.
"""

from collections import Counter
from dataclasses import dataclass, field

from ib_lpo.fleet.base import FleetError
from ib_lpo.weights.parcel import Parcel, Receipt


class PublishError(FleetError):
    """A receiver does not hold the published weights; names receiver, tensor and version. It must not serve."""


@dataclass(slots=True, eq=False)
class Delivery:
    """`began`: when the parcel was there, monotonic seconds."""

    parcel: Parcel
    began: float
    held: bool = False  # everybody may stage it, nobody may commit it yet
    over: bool = False  # nobody is on the way to it any more
    calls: Counter[str] = field(default_factory=Counter)  # made for it, by receiver
    receipts: dict[str, Receipt] = field(default_factory=dict)  # right ones, by receiver
    serving: set[str] = field(default_factory=set)  # receivers in service once it was over
    last: float = 0.0  # when the last receipt came, monotonic seconds; 0: none came

    def received(self, receiver: str, receipt: Receipt, now: float) -> None:
        """Take a receipt. Raises PublishError when it is not right."""
        check_receipt(receipt, self.parcel)
        self.receipts[receiver], self.last = receipt, max(self.last, now)

    @property
    def whole(self) -> bool:
        """Whether all who are in service have proved that they hold it."""
        return self.over and self.serving <= self.receipts.keys()

    def metrics(self) -> dict[str, float]:
        """`publish/...`."""
        seconds = max(self.last - self.began, 0.0) + self.parcel.metrics.get("publish/send_seconds", 0.0)
        return self.parcel.metrics | {
            "publish/syncs": float(self.whole),
            "publish/seconds": seconds,
            "publish/gb_per_s": self.parcel.nbytes / 1e9 / max(seconds, 1e-9),
            "publish/rpcs": float(max(self.calls.values(), default=0)),
            "publish/seconds_paused": max((receipt.seconds for receipt in self.receipts.values()), default=0.0),
        }


def check_receipt(receipt: Receipt, parcel: Parcel) -> None:
    """Compare a receiver's read-back with what was sent, name by name. Raises PublishError on the first difference."""
    version = parcel.version
    if receipt.version != version:
        raise PublishError(f"{receipt.receiver}: reports version {receipt.version} after the publish of version {version}; replace it")
    for name, want in parcel.fingerprints.items():
        got = receipt.fingerprints.get(name)
        if got is None:
            raise PublishError(f"{receipt.receiver}: has no tensor {name} after the publish of version {version}; its model differs")
        if got != want:
            raise PublishError(
                f"{receipt.receiver}: {name} has fingerprint {got:016x} after the publish of version {version}, the learner sent "
                f"{want:016x}; replace it and publish again"
            )
