"""Shared memory: rank 0 writes a version once, every receiver on its host maps it.

A version lies in an anonymous memory file that receivers open through /proc/<pid>/fd. The kernel frees it when the last process that maps
it is gone, however that ends, so no kill leaves anything behind; and the size of /dev/shm, small in many containers, does not matter. Two
files take turns. The first page of each holds its version, -1 while it is being written: a receiver that was overtaken notices.
"""

import mmap
import os
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ib_lpo.weights.parcel import Layout, Parcel, TransferError
from ib_lpo.weights.place import Place, Route
from ib_lpo.weights.transports.base import Fill

_HEADER = mmap.PAGESIZE  # bytes before the first bucket
_WRITING = -1


@dataclass(frozen=True, slots=True)
class Segment:
    """Where a version lies: an open file of the process `pid`, `nbytes` long with its header."""

    pid: int
    fd: int
    inode: int
    nbytes: int


def refusal(route: Route, sender: Place) -> str | None:
    away = route.elsewhere(sender)
    return f"{', '.join(away)} cannot see the memory of the learner's host {sender.node}" if away else None


class _Slot:
    """One memory file and its mapping in the writing process."""

    def __init__(self, nbytes: int):
        self._fd = os.memfd_create("ib-lpo-weights", os.MFD_CLOEXEC)
        os.ftruncate(self._fd, nbytes)
        memory = mmap.mmap(self._fd, nbytes)
        self.segment = Segment(os.getpid(), self._fd, os.fstat(self._fd).st_ino, nbytes)
        self.bytes = torch.frombuffer(memory, dtype=torch.uint8)
        self.version = self.bytes[:8].view(torch.int64)

    def close(self) -> None:
        os.close(self._fd)


class Outlet:
    """Writes into the slot that the version before the last one was in."""

    def __init__(self, deadline_s: float):
        self._slots: list[_Slot] = []

    def write(self, version: int, layout: Layout, route: Route, fill: Fill) -> Segment:
        if len(self._slots) < 2:
            self._slots.insert(0, _Slot(_HEADER + layout.nbytes))
        slot = self._slots[0]
        slot.version.fill_(_WRITING)
        for index, bucket in enumerate(slot.bytes[_HEADER:].split(list(layout.sizes))):
            fill(index, bucket)
        slot.version.fill_(version)
        self._slots = [*self._slots[1:], slot]  # only now: a write that failed leaves the other version alone
        return slot.segment

    def close(self) -> None:
        for slot in self._slots:
            slot.close()
        self._slots = []


class Inlet:
    """Maps segments read-only, and keeps the two last maps: a slot that comes round again costs no page fault."""

    def __init__(self, receiver: str, deadline_s: float):
        self._receiver = receiver
        self._maps: dict[Segment, Tensor] = {}

    def read(self, parcel: Parcel) -> list[Tensor]:
        segment: Segment = parcel.content
        mapped = self._maps.pop(segment, None)
        if mapped is None:
            mapped = self._map(segment, parcel.version)
        self._maps = dict([*list(self._maps.items())[-1:], (segment, mapped)])
        if not self.intact(parcel):
            raise TransferError(f"{self._receiver}: version {parcel.version} is no longer in shared memory; stage the newest parcel")
        return list(mapped[_HEADER:].split(list(parcel.layout.sizes)))

    def intact(self, parcel: Parcel) -> bool:
        return int(self._maps[parcel.content][:8].view(torch.int64)) == parcel.version

    def close(self) -> None:
        self._maps = {}

    def _map(self, segment: Segment, version: int) -> Tensor:
        try:
            fd = os.open(f"/proc/{segment.pid}/fd/{segment.fd}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise TransferError(
                f"{self._receiver}: cannot open version {version} in the memory of process {segment.pid} ({error.strerror}): the learner "
                "ended, or runs as another user; publish again, or set weights.transport: object"
            ) from None
        try:
            if (os.fstat(fd).st_ino, os.fstat(fd).st_size) != (segment.inode, segment.nbytes):
                raise TransferError(f"{self._receiver}: version {version} is no longer in shared memory; stage the newest parcel")
            memory = mmap.mmap(fd, segment.nbytes, access=mmap.ACCESS_READ)
        finally:
            os.close(fd)
        return read_only(np.frombuffer(memory, dtype=np.uint8))


def read_only(memory: np.ndarray) -> Tensor:
    """A tensor over memory that must not be written, without torch's warning about that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(memory)
