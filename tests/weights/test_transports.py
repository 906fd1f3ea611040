"""Every transport between processes of this host: all bits arrive, newcomers are served, and a death is told from a wait."""

import os
import time

import pytest
import torch

from ib_lpo.fleet.base import WorkerDied
from ib_lpo.fleet.config import ClusterConfig
from ib_lpo.fleet.ray import RayFleet
from ib_lpo.weights.config import WeightsConfig
from ib_lpo.weights.delivery import check_receipt
from ib_lpo.weights.outbox import Outbox
from ib_lpo.weights.parcel import Parcel, TransferError
from ib_lpo.weights.place import Route
from ib_lpo.weights.publish import deliver
from tests.weights.holder import SHAPES, Holder, policy

pytestmark = pytest.mark.slow

DEADLINE_S = 4.0


class Sender:
    """Learner rank 0, as far as weights are concerned; one outbox per transport."""

    def __init__(self):
        self._outboxes = {}

    def send(self, transport: str, version: int, route: Route) -> Parcel:
        if transport not in self._outboxes:
            config = WeightsConfig(transport=transport, bucket_mb=1e-3, deadline_s=DEADLINE_S)
            self._outboxes[transport] = Outbox(SHAPES.items(), dtype=torch.float32, config=config, device="cpu")
        return self._outboxes[transport].send(version, policy(version).items(), route)


class Parts:
    """A sender and two receivers, in processes of their own."""

    def __init__(self):
        self.fleet = RayFleet(ClusterConfig(cpus=4))
        self.sender = self.fleet.spawn(Sender, name="sender")
        self.receivers = [self.holder(f"engine-{i}") for i in range(2)]

    def holder(self, name):
        return self.fleet.spawn(Holder, name, "", DEADLINE_S, name=name)

    def send(self, transport, version, receivers=None):
        route = Route.of(self.receivers if receivers is None else receivers, self.fleet)
        return self.sender.call("send", transport, version, route).result()


@pytest.fixture(scope="module")
def parts():
    parts = Parts()
    yield parts
    parts.fleet.shutdown()


@pytest.fixture(scope="module")
def newcomer(parts):
    return parts.holder("newcomer")


def assert_serves(receiver, version):
    serves, live = receiver.call("state").result()
    assert serves == version
    assert all(torch.equal(live[name], tensor) for name, tensor in policy(version).items())


@pytest.mark.parametrize("transport", ["shm", "object", "gloo"])
def test_every_bit_arrives_and_a_newcomer_is_served_from_the_same_parcel(parts, newcomer, transport):
    for version in range(1, 4):
        parcel = parts.send(transport, version)
        assert parcel.transport == transport
        deliver(parcel, parts.receivers)
        for receiver in parts.receivers:
            assert_serves(receiver, version)
    deliver(parcel, [newcomer])
    assert_serves(newcomer, 3)
    everybody = [*parts.receivers, newcomer]
    deliver(parts.send(transport, 4, everybody), everybody)
    assert_serves(newcomer, 4)


def test_a_replaced_receiver_takes_part_in_the_broadcast_by_the_name_it_has_itself(parts):
    """Nobody waits for it in vain."""
    replaced = parts.fleet.spawn(Holder, "engine-7.1", "", DEADLINE_S, name="engine-7")
    everybody = [*parts.receivers, replaced]
    replaced.call("state").result()
    parcel = parts.send("gloo", 6, everybody)
    began = time.monotonic()
    deliver(parcel, everybody)
    assert time.monotonic() - began < DEADLINE_S
    assert_serves(replaced, 6)


def test_auto_takes_shared_memory_between_processes_of_a_host(parts):
    assert parts.send("auto", 1).transport == "shm"


def test_a_receiver_that_dies_breaks_a_broadcast_and_leaves_the_others_with_their_version(parts):
    """Its replacement, and whoever waited for it in vain, are served from the same parcel."""
    victim = parts.holder("victim")
    everybody = [*parts.receivers, victim]
    deliver(parts.send("gloo", 1, everybody), everybody)
    parcel = parts.send("gloo", 2, everybody)
    victim.kill()
    with pytest.raises(WorkerDied, match="victim"):
        deliver(parcel, everybody)
    for receiver in parts.receivers:
        assert_serves(receiver, 1)
    with pytest.raises(TransferError, match="asked to commit version 2, staged is None"):
        parts.receivers[0].call("commit", 2).result()
    deliver(parcel, parts.receivers)
    for receiver in parts.receivers:
        assert_serves(receiver, 2)


def test_shared_memory_goes_with_its_sender_but_not_under_whoever_staged_it(parts):
    """The last test: the sender is gone afterwards."""
    parcel = parts.send("shm", 5)
    staged = parts.receivers[0]
    staged.call("stage", parcel).result()
    segment = f"/proc/{parcel.content.pid}/fd/{parcel.content.fd}"
    assert "memfd:ib-lpo-weights" in os.readlink(segment)
    parts.sender.kill()
    end = time.monotonic() + 10
    while os.path.exists(segment):
        assert time.monotonic() < end
        time.sleep(0.05)
    check_receipt(staged.call("commit", 5).result(), parcel)
    assert_serves(staged, 5)
    with pytest.raises(TransferError, match="cannot open version 5 in the memory of process"):
        parts.holder("late").call("stage", parcel).result()
