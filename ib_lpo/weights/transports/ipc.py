"""CUDA IPC: rank 0 keeps a version in GPU memory, receivers on the same GPU open it in place.

For learner and engines that share a GPU. Every version has buffers of its own, which the sender holds until the version after the next is
written. vLLM's own IPC engine opens handles the same way, one layer at a time while it loads; here all are opened in `stage`. No test here
has run it: it needs a GPU.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.multiprocessing.reductions import rebuild_cuda_tensor, reduce_tensor

from ib_lpo.weights.parcel import Layout, Parcel, TransferError
from ib_lpo.weights.place import Place, Route
from ib_lpo.weights.transports.base import Fill
from ib_lpo.weights.transports.broadcast import one_line

_DEVICE_ARGUMENT = 6  # of rebuild_cuda_tensor: the sender's device index, which need not be the receiver's


@dataclass(frozen=True, slots=True)
class Handles:
    """Arguments of rebuild_cuda_tensor, one tuple per bucket."""

    buckets: tuple[tuple, ...]


def refusal(route: Route, sender: Place) -> str | None:
    if sender.gpu is None:
        return "the learner has no GPU"
    away = [name for name, place in route.places.items() if (place.host, place.gpu) != (sender.host, sender.gpu)]
    return f"{', '.join(away)} is not on the learner's GPU; set weights.transport: shm, or nccl across GPUs" if away else None


class Outlet:
    """The buckets of the two last versions, in GPU memory."""

    def __init__(self, deadline_s: float):
        self._kept: list[list[Tensor]] = []

    def write(self, version: int, layout: Layout, route: Route, fill: Fill) -> Handles:
        self._kept = self._kept[-1:]
        torch.cuda.ipc_collect()
        buckets = [torch.empty(size, dtype=torch.uint8, device="cuda") for size in layout.sizes]
        for index, bucket in enumerate(buckets):
            fill(index, bucket)
        torch.cuda.synchronize()
        self._kept.append(buckets)
        return Handles(tuple(reduce_tensor(bucket)[1] for bucket in buckets))

    def close(self) -> None:
        self._kept = []


class Inlet:
    """Opens the handles; the memory stays the sender's."""

    def __init__(self, receiver: str, deadline_s: float):
        self._receiver = receiver

    def read(self, parcel: Parcel) -> list[Tensor]:
        handles: Handles = parcel.content
        index = torch.cuda.current_device()
        try:
            return [rebuild_cuda_tensor(*h[:_DEVICE_ARGUMENT], index, *h[_DEVICE_ARGUMENT + 1 :]) for h in handles.buckets]
        except RuntimeError as error:
            raise TransferError(
                f"{self._receiver}: cannot open version {parcel.version} in the learner's GPU memory: {one_line(error)}; publish again"
            ) from None

    def intact(self, parcel: Parcel) -> bool:
        return True

    def close(self) -> None:
        """What was opened goes with the last tensor over it."""
