"""Ray's object store: rank 0 puts each bucket once, Ray moves it to the hosts of the receivers, which map it there.

With the in-process fleet a reference is the bucket itself. The references of the two last versions are kept; Ray drops older ones.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ib_lpo.weights.parcel import Layout, Parcel, TransferError
from ib_lpo.weights.place import Place, Route
from ib_lpo.weights.transports.base import Fill
from ib_lpo.weights.transports.shm import read_only


def refusal(route: Route, sender: Place) -> str | None:
    return None


class Outlet:
    """One scratch bucket, which `put` copies; where `put` returns the value itself, a bucket of its own each time."""

    def __init__(self, deadline_s: float):
        self._kept: list[tuple[Any, ...]] = []

    def write(self, version: int, layout: Layout, route: Route, fill: Fill) -> tuple[Any, ...]:
        references = []
        scratch = np.empty(max(layout.sizes, default=0), dtype=np.uint8)
        for index, size in enumerate(layout.sizes):
            bucket = scratch[:size]
            fill(index, torch.from_numpy(bucket))
            references.append(route.fleet.put(bucket))
            if references[-1] is bucket:
                scratch = np.empty_like(scratch)
        self._kept = [*self._kept[-1:], tuple(references)]
        return self._kept[-1]

    def close(self) -> None:
        self._kept = []


class Inlet:
    """Waits for the buckets to be in this host's store."""

    def __init__(self, receiver: str, deadline_s: float):
        self._receiver, self._deadline_s = receiver, deadline_s

    def read(self, parcel: Parcel) -> list[Tensor]:
        if all(isinstance(reference, np.ndarray) for reference in parcel.content):
            return [torch.from_numpy(bucket) for bucket in parcel.content]
        import ray

        try:
            return [read_only(bucket) for bucket in ray.get(list(parcel.content), timeout=self._deadline_s)]
        except (ray.exceptions.GetTimeoutError, ray.exceptions.ObjectLostError) as error:
            raise TransferError(
                f"{self._receiver}: version {parcel.version} is not in the object store ({type(error).__name__}); publish again, or raise "
                "weights.deadline_s"
            ) from None

    def intact(self, parcel: Parcel) -> bool:
        return True

    def close(self) -> None:
        """Nothing is kept."""
