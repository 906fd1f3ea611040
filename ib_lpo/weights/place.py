"""Where the ends of a publish are: what decides which transports can join them."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from ib_lpo.fleet.base import Fleet, Worker


@dataclass(frozen=True, slots=True)
class Place:
    """One process. Two with the same `host` can open each other's memory; `gpu` is None where weights live in host memory.

    `receiver` is the name by which a receiver's Inbox goes, whatever others call the receiver; a sender has none.
    """

    host: str  # boot id and process namespace
    node: str  # host name, for messages
    pid: int
    gpu: str | None = None  # UUID
    receiver: str = ""


def here(device: str, receiver: str = "") -> Place:
    """The place of this process, whose weights are on `device` ("cpu" or "cuda")."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return Place(f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}", socket.gethostname(), os.getpid(), _gpu(device), receiver)


def _gpu(device: str) -> str | None:
    if not device.startswith("cuda"):
        return None
    import torch

    return str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)


@dataclass(frozen=True, slots=True)
class Route:
    """Who is to receive, by the name of its worker, and the fleet whose object store may carry it. Made anew for every publish."""

    places: dict[str, Place]
    fleet: Fleet

    @classmethod
    def of(cls, receivers: list[Worker], fleet: Fleet, deadline_s: float | None = None) -> "Route":
        """Ask every receiver where it is."""
        pending = [(receiver.name, receiver.call("place")) for receiver in receivers]
        return cls({name: answer.result(deadline_s) for name, answer in pending}, fleet)

    def elsewhere(self, sender: Place) -> list[str]:
        """Receivers on another host than the sender, as "name (node)"."""
        return [f"{name} ({place.node})" for name, place in self.places.items() if place.host != sender.host]


def available_bytes() -> int:
    """Host memory that this process may still take: what the machine has, and what its control group allows."""
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    room = int(fields["MemAvailable"].split()[0]) * 1024
    limit, used = (Path("/sys/fs/cgroup", name) for name in ("memory.max", "memory.current"))
    if limit.exists() and (text := limit.read_text().strip()) != "max":
        room = min(room, int(text) - int(used.read_text()))
    return max(room, 0)
