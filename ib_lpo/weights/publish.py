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
from ib_lpo.weights.delivery import Delivery
from ib_lpo.weights.outbox import Outbox
from ib_lpo.weights.parcel import Parcel
from ib_lpo.weights.place import Route


def publish(
    tensors: Iterable[tuple[str, Tensor]], *, version: int, receivers: list[Worker], fleet: Fleet, config: WeightsConfig, dtype: torch.dtype
) -> dict[str, float]:
    """Publish whole named tensors of this process, in `dtype`; `publish/...` metrics. Raises PublishError, or what a receiver raised."""
    held = list(tensors)
    shapes = [(name, tuple(tensor.shape)) for name, tensor in held]
    outbox = Outbox(shapes, dtype=dtype, config=config, device="cpu", versions=1)
    try:
        return deliver(outbox.send(version, held, Route.of(receivers, fleet)), receivers)
    finally:
        outbox.close()


def deliver(parcel: Parcel, receivers: list[Worker]) -> dict[str, float]:
    """Both phases, verified. Returns `publish/...` metrics.

    Raises what a receiver raised in `stage`: then all of them keep the version they serve, and the parcel can be delivered again; or in
    `commit`, or PublishError: then that receiver is to be replaced.
    """
    delivery = Delivery(parcel, time.monotonic(), serving={receiver.name for receiver in receivers})
    _all(receivers, delivery, "stage", parcel)
    receipts = _all(receivers, delivery, "commit", parcel.version)
    for receiver, receipt in zip(receivers, receipts, strict=True):
        delivery.received(receiver.name, receipt, time.monotonic())
    delivery.over = True
    return delivery.metrics()


def _all(receivers: list[Worker], delivery: Delivery, method: str, *args: Any) -> list[Any]:
    """Call a method on all receivers at once and wait for all, whoever fails; then raise the first failure, a death before others."""
    failures: list[Exception] = []
    results, under_way = [], []
    for receiver in receivers:
        delivery.calls[receiver.name] += 1
        under_way.append(receiver.call(method, *args))
    for pending in under_way:
        try:
            results.append(pending.result())
        except (UserError, RuntimeError) as error:  # what calls raise: the fleet's errors and the receivers'
            failures.append(error)
    if failures:
        raise next((error for error in failures if isinstance(error, FleetError)), failures[0])
    return results
