"""Broadcast by NCCL between the GPUs of rank 0 and of the receivers, bucket by bucket, staged in host memory at both ends.

vLLM's own NCCL engine loads layers while they arrive, so a broadcast that breaks would leave engines between two versions; here a version
is whole in every receiver before any of them loads it. No test here has run it: it needs two GPUs.
"""

from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from ib_lpo.weights.place import Place, Route
from ib_lpo.weights.transports.broadcast import BroadcastInlet, BroadcastOutlet, Wire


def refusal(route: Route, sender: Place) -> str | None:
    ends = {"the learner": sender, **route.places}
    without = [name for name, place in ends.items() if place.gpu is None]
    if without:
        return f"{', '.join(without)} has no GPU"
    owners: dict[str, str] = {}
    for name, place in ends.items():
        other = owners.setdefault(place.gpu, name)
        if other != name:
            return f"{other} and {name} share a GPU, where NCCL cannot join two processes; set weights.transport: ipc"
    return None


def _group(store: Any, rank: int, size: int, deadline_s: float) -> Any:
    options = dist.ProcessGroupNCCL.Options()
    options._timeout = timedelta(seconds=deadline_s)
    return dist.ProcessGroupNCCL(store, rank, size, options)


_WIRE = Wire("cuda", _group, settle=torch.cuda.synchronize)


class Outlet(BroadcastOutlet):
    wire = _WIRE


class Inlet(BroadcastInlet):
    wire = _WIRE
