"""A publish, start to end, on receivers that nobody else calls meanwhile.

    send    learner rank 0: one pass over the weights makes a parcel              learner/rank.py, weights/outbox.py
    stage   every receiver: all of it is readable here, the old version serves on
    commit  every receiver, once all have staged: loaded in place, read back

Either all live receivers take the version or none does. A publish ends well only if every receipt, read back from live parameters, equals
what was sent. Two calls per receiver, whatever the number of buckets.
"""

import time
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ib_lpo.errors import UserError
from ib_lpo.fleet.base import Fleet, FleetError, Worker
from ib_lpo.weights.config import WeightsConfig
from ib_lpo.weights.outbox import Outbox
from ib_lpo.weights.parcel import Parcel, Receipt
from ib_lpo.weights.place import Route

CALLS = 2  # per receiver and publish: stage, commit


class PublishError(RuntimeError):
    """A receiver does not hold the published weights; names receiver, tensor and version. It must not serve."""


def publish(
    tensors: Iterable[tuple[str, Tensor]], *, version: int, receivers: list[Worker], fleet: Fleet, config: WeightsConfig, dtype: torch.dtype
) -> dict[str, float]:
    """Publish whole named tensors of this process, in `dtype`; `publish/...` metrics. Raises PublishError, or what a receiver raised."""
    held = list(tensors)
    outbox = Outbox([(name, tuple(tensor.shape)) for name, tensor in held], dtype=dtype, config=config, device="cpu")
    try:
        return deliver(outbox.send(version, held, Route.of(receivers, fleet)), receivers)
    finally:
        outbox.close()


def deliver(parcel: Parcel, receivers: list[Worker]) -> dict[str, float]:
    """Both phases, verified. Returns `publish/...` metrics.

    Raises what a receiver raised in `stage`: then all of them keep the version they serve, and the parcel can be delivered again; or in
    `commit`, or PublishError: then that receiver is to be replaced.
    """
    began = time.monotonic()
    _all(receivers, "stage", parcel)
    receipts: list[Receipt] = _all(receivers, "commit", parcel.version)
    for receipt in receipts:
        check_receipt(receipt, parcel)
    return delivery_metrics(parcel, receipts, time.monotonic() - began)


def delivery_metrics(parcel: Parcel, receipts: list[Receipt], seconds: float) -> dict[str, float]:
    """`publish/...` of a publish whose receipts are right; `seconds` from the parcel to the last receipt."""
    total = seconds + parcel.metrics.get("publish/send_seconds", 0.0)
    return parcel.metrics | {
        "publish/syncs": 1.0,
        "publish/seconds": total,
        "publish/gb_per_s": parcel.nbytes / 1e9 / max(total, 1e-9),
        "publish/rpcs": float(CALLS),
        "publish/seconds_paused": max((receipt.seconds for receipt in receipts), default=0.0),
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


def _all(receivers: list[Worker], method: str, *args: Any) -> list[Any]:
    """Call a method on all receivers at once and wait for all, whoever fails; then raise the first failure, a death before others."""
    failures: list[Exception] = []
    results = []
    for pending in [receiver.call(method, *args) for receiver in receivers]:
        try:
            results.append(pending.result())
        except (UserError, RuntimeError) as error:  # what calls raise: the fleet's errors and the receivers'
            failures.append(error)
    if failures:
        raise next((error for error in failures if isinstance(error, FleetError)), failures[0])
    return results
