"""A receiver waits for a broadcast as long as it may, all buckets together."""

import time

import pytest
from torch import Tensor
from torch.distributed import TCPStore

from ib_lpo.weights.parcel import Parcel, TransferError, plan
from ib_lpo.weights.transports.broadcast import BroadcastInlet, Meeting, Wire
from tests.weights.holder import SHAPES, policy

DEADLINE_S, BUCKET_S = 0.5, 0.2


class Slow:
    """A group, and what it is doing: every bucket takes a while, though none too long."""

    def __init__(self, store, rank, size, deadline_s):
        self.deadline_s = deadline_s

    def broadcast(self, tensor: Tensor, root: int, timeout):
        return self

    def wait(self, timeout):
        time.sleep(min(BUCKET_S, timeout.total_seconds()))
        if timeout.total_seconds() < BUCKET_S:
            raise RuntimeError("Operation timed out!")


class Inlet(BroadcastInlet):
    wire = Wire("cpu", Slow, settle=lambda: None)


def test_one_deadline_is_for_all_buckets_together():
    layout = plan(SHAPES.items(), policy(0)["a"].dtype, 100)
    assert len(layout.buckets) * BUCKET_S > 1.5 * DEADLINE_S > DEADLINE_S > BUCKET_S
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    parcel = Parcel(
        version=1, transport="gloo", content=Meeting("127.0.0.1", store.port, "1/1", ("engine-0",)), layout=layout, fingerprints={}
    )
    began = time.monotonic()
    with pytest.raises(TransferError, match=r"engine-0: version 1 did not arrive .*timed out"):
        Inlet("engine-0", DEADLINE_S).read(parcel)
    assert time.monotonic() - began < DEADLINE_S + 0.15
