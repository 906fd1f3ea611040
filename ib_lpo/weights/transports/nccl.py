"""Broadcast by NCCL between the GPUs of rank 0 and of the receivers, bucket by bucket, staged in host memory at both ends.

A group is made with TORCH_NCCL_BLOCKING_WAIT=1 and TORCH_NCCL_ASYNC_ERROR_HANDLING=0, so that a wait blocks the caller and ends at its
deadline in an error that the caller gets, and no watchdog ends the process: with the defaults a death in the middle would take learner and
engines with it. NCCL connects at the first collective, without a deadline to rely on; so all ends meet in the store before.

vLLM's own NCCL engine loads layers while they arrive, so a broadcast that breaks would leave engines between two versions; here a version
is whole in every receiver before any of them loads it. No test here has run it: it needs two GPUs.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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


_OWN_ERRORS = {"TORCH_NCCL_BLOCKING_WAIT": "1", "TORCH_NCCL_ASYNC_ERROR_HANDLING": "0"}


def _group(store: Any, rank: int, size: int, deadline_s: float) -> Any:
    options = dist.ProcessGroupNCCL.Options()
    options._timeout = timedelta(seconds=deadline_s)
    with environment(_OWN_ERRORS):
        group = dist.ProcessGroupNCCL(store, rank, size, options)
    meet(store, size, deadline_s)
    return group


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """This process's, with `values` for a while: NCCL groups read it when they are made."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def meet(store: Any, size: int, deadline_s: float) -> None:
    """Wait for all `size` ends of a group, each of which calls this once. Raises RuntimeError after the deadline."""
    if store.add("arrived", 1) == size:
        store.set("met", "1")
    store.wait(["met"], timedelta(seconds=deadline_s))


_WIRE = Wire("cuda", _group, settle=torch.cuda.synchronize)


class Outlet(BroadcastOutlet):
    wire = _WIRE


class Inlet(BroadcastInlet):
    wire = _WIRE
