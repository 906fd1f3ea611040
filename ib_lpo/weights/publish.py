"""Rank 0's side of a publish: stream buckets to every receiver, then prove that each holds what was sent.

Buckets are put once and loaded by all receivers; per receiver at most `weights.in_flight` are unacknowledged, which bounds memory and
lets packing, transport and loading overlap. A publish ends well only if every receiver's read-back fingerprints equal the sender's.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ib_lpo.fleet.base import Fleet, Pending, Worker
from ib_lpo.weights.bucket import Receipt, pack
from ib_lpo.weights.config import WeightsConfig
from ib_lpo.weights.fingerprint import fingerprint


class PublishError(RuntimeError):
    """A receiver does not hold the published weights; names receiver, tensor and version. It must not serve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishReport:
    """What one publish cost."""

    version: int
    seconds: float
    bytes: int  # sent once, whatever the number of receivers
    buckets: int
    tensors: int

    def metrics(self) -> dict[str, float]:
        """`publish/...` metrics; GB/s counts the bytes once."""
        return {
            "publish/syncs": 1.0,
            "publish/seconds": self.seconds,
            "publish/bytes": float(self.bytes),
            "publish/gb_per_s": self.bytes / 1e9 / max(self.seconds, 1e-9),
            "publish/buckets": float(self.buckets),
            "publish/tensors": float(self.tensors),
        }


def publish(
    tensors: Iterable[tuple[str, Tensor]], *, version: int, receivers: list[Worker], fleet: Fleet, config: WeightsConfig
) -> PublishReport:
    """Send named tensors, in the types the receivers hold, to all receivers. Raises PublishError, or what a receiver raised."""
    began = time.monotonic()
    sent: dict[str, int] = {}
    size = buckets = 0
    _all(receivers, "begin_update", version)
    waiting: list[deque[Pending]] = [deque() for _ in receivers]
    for bucket in pack(_noted(tensors, sent), int(config.bucket_mb * 1e6)):
        reference = fleet.put(bucket)
        for receiver, queue in zip(receivers, waiting, strict=True):
            if len(queue) >= config.in_flight:
                queue.popleft().result()
            queue.append(receiver.call("load_bucket", reference))
        size += bucket.payload.nbytes
        buckets += 1
    for queue in waiting:
        for pending in queue:
            pending.result()
    for receipt in _all(receivers, "finish_update"):
        check_receipt(receipt, version, sent)
    return PublishReport(version=version, seconds=time.monotonic() - began, bytes=size, buckets=buckets, tensors=len(sent))


def check_receipt(receipt: Receipt, version: int, sent: dict[str, int]) -> None:
    """Compare a receiver's read-back with what was sent, name by name. Raises PublishError on the first difference."""
    if receipt.version != version:
        raise PublishError(f"{receipt.receiver}: reports version {receipt.version} after the publish of version {version}; restart it")
    for name, want in sent.items():
        got = receipt.fingerprints.get(name)
        if got is None:
            raise PublishError(f"{receipt.receiver}: has no tensor {name} after the publish of version {version}; its model differs")
        if got != want:
            raise PublishError(
                f"{receipt.receiver}: {name} has fingerprint {got:016x} after the publish of version {version}, the learner sent "
                f"{want:016x}; restart it and publish again"
            )


def _noted(tensors: Iterable[tuple[str, Tensor]], sent: dict[str, int]) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in tensors:
        sent[name] = fingerprint(tensor)
        yield name, tensor


def _all(receivers: list[Worker], method: str, *args: Any) -> list[Any]:
    """Call a method on all receivers at once and wait for all."""
    pending = [receiver.call(method, *args) for receiver in receivers]
    return [p.result() for p in pending]
