"""Broadcast from rank 0's host memory to the receivers' host memory, through a process group of its own (`gloo`, `nccl`).

`write` stages the version and returns; a courier thread of rank 0 then waits for the receivers. Those of the route meet in one group and
get one broadcast. A receiver that was not there, or whose broadcast failed, asks for a group of two. Groups live for one version: a
receiver that died breaks the broadcast of that version alone, and leaves the others with the version they serve.

Who waits for whom: a receiver for the courier and for the other receivers of the route, `weights.deadline_s` at most until it has all
bytes; the courier for all of them to come, as long, and then for the bytes to leave, as long; the learner for nobody, except for the
courier of the version before, when it has the next one ready.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor
from torch.distributed import PrefixStore, TCPStore

from ib_lpo.fleet.address import listen, node_address
from ib_lpo.weights.fingerprint import fingerprint
from ib_lpo.weights.parcel import Layout, Parcel, TransferError
from ib_lpo.weights.place import Route
from ib_lpo.weights.transports.base import Fill

_LOOK_S = 0.02  # how often a courier looks for newcomers


@dataclass(frozen=True, slots=True)
class Wire:
    """What tells one broadcast from another."""

    device: str  # where the process group wants its tensors
    group: Callable[[Any, int, int, float], Any]  # (store, rank, size, deadline in seconds) -> process group
    settle: Callable[[], None]  # returns once all that was broadcast has left


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where the receivers of a version meet its sender, and in which order."""

    host: str
    port: int
    key: str
    members: tuple[str, ...]  # Place.receiver of each


class _Courier(threading.Thread):
    """Sends one version to whoever comes, until it is stopped."""

    def __init__(self, store: TCPStore, meeting: Meeting, send: Callable[[Any, int], None]):
        super().__init__(name=f"weights-{meeting.key}", daemon=True)
        self._store, self._meeting, self._send = store, meeting, send
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        if self._meeting.members:
            self._round("route", 1 + len(self._meeting.members))
        served = 0
        while not self._over.wait(_LOOK_S):
            if self._store.add(f"{self._meeting.key}/newcomers", 0) > served:
                served += 1
                self._round(f"newcomer-{served}", 2)

    def stop(self, deadline_s: float) -> None:
        self._over.set()
        self.join(deadline_s)

    def _round(self, name: str, size: int) -> None:
        try:
            self._send(PrefixStore(f"{self._meeting.key}/{name}", self._store), size)
        except RuntimeError:  # a receiver died or never came: the others see it in their own call, which says so
            return


class BroadcastOutlet:
    """Two staging buffers in host memory that take turns."""

    wire: Wire

    def __init__(self, deadline_s: float):
        self._deadline_s = deadline_s
        self._host, door = node_address(), listen(node_address())
        limit, port = timedelta(seconds=deadline_s), door.getsockname()[1]
        self._store = TCPStore(self._host, port, is_master=True, wait_for_workers=False, timeout=limit, master_listen_fd=door.detach())
        self._buffers: list[list[Tensor]] = []
        self._courier: _Courier | None = None
        self._writes = 0

    def write(self, version: int, layout: Layout, route: Route, fill: Fill) -> Meeting:
        if len(self._buffers) < 2:
            self._buffers.insert(0, [torch.empty(size, dtype=torch.uint8) for size in layout.sizes])
        buckets = self._buffers[0]
        for index, bucket in enumerate(buckets):
            fill(index, bucket)
        self._buffers = [*self._buffers[1:], buckets]
        self._dismiss()
        self._writes += 1
        members = tuple(place.receiver for place in route.places.values())
        meeting = Meeting(self._host, self._store.port, f"{self._writes}/{version}", members)
        self._courier = _Courier(self._store, meeting, lambda store, size: self._send(buckets, store, size))
        return meeting

    def close(self) -> None:
        self._dismiss()
        self._buffers = []

    def _dismiss(self) -> None:
        if self._courier is not None:
            self._courier.stop(self._deadline_s)
            self._courier = None

    def _send(self, buckets: list[Tensor], store: PrefixStore, size: int) -> None:
        group = self.wire.group(store, 0, size, self._deadline_s)
        end = time.monotonic() + self._deadline_s
        for bucket in buckets:
            broadcast(group, bucket.to(self.wire.device), end)
        self.wire.settle()


class BroadcastInlet:
    """One staging buffer, reused; what arrived is compared with the parcel's fingerprints before it counts as staged."""

    wire: Wire

    def __init__(self, receiver: str, deadline_s: float):
        self._receiver, self._deadline_s = receiver, deadline_s
        self._buckets: list[Tensor] = []
        self._tried: Meeting | None = None

    def read(self, parcel: Parcel) -> list[Tensor]:
        meeting: Meeting = parcel.content
        end = time.monotonic() + self._deadline_s
        if [bucket.numel() for bucket in self._buckets] != list(parcel.layout.sizes):
            self._buckets = [torch.empty(size, dtype=torch.uint8) for size in parcel.layout.sizes]
        try:
            group = self._join(meeting, end)
            for bucket in self._buckets:
                landing = bucket if self.wire.device == "cpu" else torch.empty_like(bucket, device=self.wire.device)
                broadcast(group, landing, end)
                bucket.copy_(landing)
        except RuntimeError as error:
            raise TransferError(
                f"{self._receiver}: version {parcel.version} did not arrive from {meeting.host}:{meeting.port}: {one_line(error)}; if all "
                "receivers are alive, raise weights.deadline_s or open the ports between the hosts"
            ) from None
        self._check(parcel)
        return self._buckets

    def intact(self, parcel: Parcel) -> bool:
        return True

    def close(self) -> None:
        self._buckets = []

    def _join(self, meeting: Meeting, end: float) -> Any:
        store = TCPStore(meeting.host, meeting.port, is_master=False, wait_for_workers=False, timeout=_left(end))
        again, self._tried = meeting == self._tried, meeting
        name, rank, size = "route", 0, 1 + len(meeting.members)
        if self._receiver in meeting.members and not again:
            rank = 1 + meeting.members.index(self._receiver)
        else:
            name, rank, size = f"newcomer-{store.add(f'{meeting.key}/newcomers', 1)}", 1, 2
        return self.wire.group(PrefixStore(f"{meeting.key}/{name}", store), rank, size, _left(end).total_seconds())

    def _check(self, parcel: Parcel) -> None:
        for name, tensor in parcel.layout.tensors(self._buckets):
            if fingerprint(tensor) != parcel.fingerprints[name]:
                raise TransferError(f"{self._receiver}: {name} of version {parcel.version} changed on its way; stage the parcel again")


def broadcast(group: Any, tensor: Tensor, end: float) -> None:
    """From rank 0; returns once it is done. Raises RuntimeError at `end`, monotonic seconds."""
    group.broadcast(tensor, 0, timeout=_left(end)).wait(_left(end))


def _left(end: float) -> timedelta:
    """Until then; never zero, which would mean for ever."""
    return timedelta(seconds=max(end - time.monotonic(), 0.001))


def one_line(error: Exception) -> str:
    """The first line of what a library says about its failure."""
    return next(iter(str(error).splitlines()), type(error).__name__)
