"""The ways from the learner to whoever holds a copy of the policy, by the name used in `weights.transport`."""

from ib_lpo.weights.transports import gloo, ipc, nccl, object, shm
from ib_lpo.weights.transports.base import Inlet, Outlet, Transport

TRANSPORTS: dict[str, Transport] = {"shm": shm, "object": object, "gloo": gloo, "nccl": nccl, "ipc": ipc}

__all__ = ["TRANSPORTS", "Inlet", "Outlet", "Transport"]
