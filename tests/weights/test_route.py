"""Which transport joins which ends, and what is said about those that cannot."""

import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.distributed import HashStore

from ib_lpo.errors import UserError
from ib_lpo.fleet.local import LocalFleet
from ib_lpo.weights import outbox as outboxes
from ib_lpo.weights.config import WeightsConfig
from ib_lpo.weights.outbox import Outbox, choose
from ib_lpo.weights.parcel import Parcel, plan
from ib_lpo.weights.place import Place, Route, available_bytes, here
from ib_lpo.weights.transports import TRANSPORTS, nccl
from tests.weights.holder import SHAPES, Holder, policy

LEARNER = Place("host-a", "node-a", 10, gpu="gpu-0")
BESIDE = Place("host-a", "node-a", 11, gpu="gpu-1")
COLOCATED = Place("host-a", "node-a", 12, gpu="gpu-0")
AWAY = Place("host-b", "node-b", 10, gpu="gpu-0b")
CPU = Place("host-a", "node-a", 13)


def route(*places):
    return Route({f"engine-{i}": place for i, place in enumerate(places)}, LocalFleet())


@pytest.mark.parametrize(
    ("places", "chosen"),
    [((BESIDE, CPU), "shm"), ((BESIDE, AWAY), "object"), ((LEARNER,), "object"), ((LEARNER, BESIDE), "shm"), ((), "object")],
)
def test_auto_is_shared_memory_on_one_host_and_the_object_store_across(places, chosen):
    assert choose("auto", route(*places), LEARNER) == chosen


@pytest.mark.parametrize(
    ("transport", "sender", "places", "message"),
    [
        ("shm", LEARNER, (BESIDE, AWAY), r"engine-1 \(node-b\) cannot see the memory of the learner's host node-a"),
        ("gloo", LEARNER, (LEARNER,), "engine-0 lives in the learner's own process"),
        ("nccl", LEARNER, (BESIDE, CPU), "engine-1 has no GPU"),
        ("nccl", CPU, (BESIDE,), "the learner has no GPU"),
        ("nccl", LEARNER, (BESIDE, COLOCATED), "the learner and engine-1 share a GPU"),
        ("ipc", CPU, (BESIDE,), "the learner has no GPU"),
        ("ipc", LEARNER, (COLOCATED, BESIDE), "engine-1 is not on the learner's GPU"),
        ("ipc", LEARNER, (AWAY,), "engine-0 is not on the learner's GPU"),
    ],
)
def test_what_cannot_join_these_ends_is_refused_in_one_line(transport, sender, places, message):
    with pytest.raises(UserError, match=rf"weights.transport={transport}: {message}") as refused:
        choose(transport, route(*places), sender)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("transport", "places"),
    [("shm", (BESIDE, LEARNER)), ("object", (AWAY, LEARNER)), ("gloo", (AWAY, CPU)), ("nccl", (BESIDE, AWAY)), ("ipc", (COLOCATED,))],
)
def test_what_can_join_them_is_taken(transport, places):
    assert choose(transport, route(*places), LEARNER) == transport


def test_auto_without_room_goes_by_the_object_store_and_is_counted(monkeypatch):
    monkeypatch.setattr(outboxes, "here", lambda device: LEARNER)
    outbox = Outbox(SHAPES.items(), dtype=policy(0)["a"].dtype, config=WeightsConfig(), device="cpu")
    for room, transport, counted in ((1, "object", 1.0), (10**12, "shm", 0.0), (1, "shm", 0.0)):  # what is taken stays taken
        monkeypatch.setattr(outboxes, "available_bytes", lambda room=room: room)
        parcel = outbox.send(0, policy(0).items(), route(BESIDE))
        assert (parcel.transport, parcel.metrics["publish/no_room"]) == (transport, counted)
    outbox.close()


def test_what_another_transport_holds_is_kept_for_one_version(monkeypatch):
    monkeypatch.setattr(outboxes, "here", lambda device: LEARNER)
    outbox = Outbox(SHAPES.items(), dtype=policy(0)["a"].dtype, config=WeightsConfig(), device="cpu")
    kept = []
    for version, place in enumerate((BESIDE, BESIDE, AWAY, AWAY, BESIDE)):
        outbox.send(version, policy(version).items(), route(place))
        kept.append(sorted(outbox._outlets))
    assert kept == [["shm"], ["shm"], ["object", "shm"], ["object"], ["object", "shm"]]
    outbox.close()


def test_a_broadcast_is_for_the_names_that_receivers_have_themselves():
    fleet = LocalFleet()
    receivers = [fleet.spawn(Holder, own, name=called) for own, called in (("engine-0.1", "engine-0"), ("scorer-0", "scorer-0.2"))]
    outlet = TRANSPORTS["gloo"].Outlet(0.1)
    meeting = outlet.write(1, plan(SHAPES.items(), torch.float32, 1000), Route.of(receivers, fleet), lambda index, bucket: None)
    assert meeting.members == ("engine-0.1", "scorer-0")
    outlet.close()


def test_ends_meet_before_a_collective_or_are_told_that_nobody_came():
    store = HashStore()
    with ThreadPoolExecutor(2) as pool:
        assert [end.result(5) for end in [pool.submit(nccl.meet, store, 2, 5.0) for _ in range(2)]] == [None, None]
    with pytest.raises(RuntimeError, match=r"(?i)time"):
        nccl.meet(HashStore(), 2, 0.05)


def test_the_environment_is_as_before_after_a_group_was_made(monkeypatch):
    monkeypatch.setenv("IB_A", "before")
    monkeypatch.delenv("IB_B", raising=False)
    with pytest.raises(KeyError), nccl.environment({"IB_A": "1", "IB_B": "2"}):
        assert (os.environ["IB_A"], os.environ["IB_B"]) == ("1", "2")
        raise KeyError
    assert os.environ["IB_A"] == "before" and "IB_B" not in os.environ


def test_this_process_is_a_place_and_has_some_memory():
    fleet = LocalFleet()
    worker = fleet.spawn(Holder, "engine-0", name="engine-0")
    assert Route.of([worker], fleet).places == {"engine-0": here("cpu", "engine-0")}
    assert 0 < available_bytes() < 1 << 50


def test_the_registry_offers_what_the_settings_name():
    names = WeightsConfig.model_json_schema()["properties"]["transport"]["enum"]
    assert set(names) == {"auto", *TRANSPORTS}


def test_a_parcel_is_small_whatever_the_model():
    layout = plan([(f"model.layers.{i}.mlp.up_proj.weight", (18944, 3584)) for i in range(200)], torch.bfloat16, 1 << 26)
    parcel = Parcel(version=1, transport="shm", content=None, layout=layout, fingerprints=dict.fromkeys(map(str, range(200)), 1 << 63))
    assert parcel.nbytes > 20e9 and parcel.buckets == 200
    assert len(pickle.dumps(parcel)) < 40_000
