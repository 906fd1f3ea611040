"""Broadcast over TCP by gloo: CPU weights across hosts, without Ray's object store."""

from datetime import timedelta
from typing import Any

import torch.distributed as dist

from ib_lpo.fleet.address import node_address
from ib_lpo.weights.place import Place, Route
from ib_lpo.weights.transports.broadcast import BroadcastInlet, BroadcastOutlet, Wire


def refusal(route: Route, sender: Place) -> str | None:
    inside = [name for name, place in route.places.items() if place.pid == sender.pid and place.host == sender.host]
    return f"{', '.join(inside)} lives in the learner's own process, which cannot wait for itself" if inside else None


def _group(store: Any, rank: int, size: int, deadline_s: float) -> dist.ProcessGroupGloo:
    options = dist.ProcessGroupGloo._Options()
    options._devices = [dist.ProcessGroupGloo.create_device(hostname=node_address())]
    options._timeout = timedelta(seconds=deadline_s)
    return dist.ProcessGroupGloo(store, rank, size, options)


_WIRE = Wire("cpu", _group, settle=lambda: None)


class Outlet(BroadcastOutlet):
    wire = _WIRE


class Inlet(BroadcastInlet):
    wire = _WIRE
