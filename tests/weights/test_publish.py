"""Publishing to in-process receivers: all of them or none, two calls each, verified."""

import pytest
import torch

from ib_lpo.errors import UserError
from ib_lpo.fleet.base import WorkerDied
from ib_lpo.fleet.local import LocalFleet
from ib_lpo.weights.config import WeightsConfig
from ib_lpo.weights.delivery import PublishError
from ib_lpo.weights.fingerprint import fingerprint
from ib_lpo.weights.outbox import Outbox
from ib_lpo.weights.parcel import TransferError
from ib_lpo.weights.place import Route
from ib_lpo.weights.publish import publish
from tests.weights.holder import SHAPES, Holder, policy


def start(faults, dtype=torch.float32):
    fleet = LocalFleet()
    return fleet, [fleet.spawn(Holder, name, fault, 30.0, dtype, name=name) for name, fault in faults.items()]


def send(fleet, workers, version, dtype=torch.float32, **config):
    settings = WeightsConfig(**{"bucket_mb": 1e-3, **config})
    return publish(policy(version).items(), version=version, receivers=workers, fleet=fleet, config=settings, dtype=dtype)


@pytest.mark.parametrize("transport", ["auto", "object", "shm"])
def test_every_receiver_holds_every_bit_after_two_calls(transport):
    fleet, workers = start({"engine-0": "", "scorer-0": ""})
    for version in range(4):
        metrics = send(fleet, workers, version, transport=transport)
        for holder in (worker.target for worker in workers):
            assert holder.version == version
            assert all(torch.equal(holder.live[name], tensor) for name, tensor in policy(version).items())
    assert all(worker.target.calls == ["place", "stage", "commit"] * 4 for worker in workers)
    assert metrics["publish/rpcs"] == 2 and metrics["publish/syncs"] == 1
    assert metrics["publish/tensors"] == len(SHAPES) and metrics["publish/buckets"] == 3
    assert metrics["publish/bytes"] >= sum(4 * t.numel() for t in policy(0).values())
    assert metrics["publish/gb_per_s"] == pytest.approx(metrics["publish/bytes"] / 1e9 / metrics["publish/seconds"])
    assert metrics["publish/seconds_paused"] == 0.25


def test_weights_are_cast_on_their_way_and_fingerprints_are_of_what_was_sent():
    fleet, workers = start({"engine-0": ""}, torch.bfloat16)
    send(fleet, workers, 1, torch.bfloat16)
    held = workers[0].target.live
    assert all(torch.equal(held[name], tensor.bfloat16()) for name, tensor in policy(1).items())
    assert fingerprint(held["a"]) != fingerprint(policy(1)["a"])


@pytest.mark.parametrize("broken", [0, 1])
def test_when_one_cannot_stage_nobody_takes_the_version(broken):
    faults = {"engine-0": "", "engine-1": ""}
    fleet, workers = start(faults)
    send(fleet, workers, 1)
    workers[broken].target._fault = "deaf"
    with pytest.raises(WorkerDied, match=f"engine-{broken} is deaf"):
        send(fleet, workers, 2)
    good = workers[1 - broken].target
    assert good.version == 1 and good.calls == ["place", "stage", "commit", "place", "stage"]
    assert all(torch.equal(good.live[name], tensor) for name, tensor in policy(1).items())


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("corrupt", r"engine-1: b has fingerprint \w+ after the publish of version 4"),
        ("missing", r"engine-1: has no tensor b after the publish of version 4"),
        ("stale", r"engine-1: reports version 3 after the publish of version 4"),
    ],
)
def test_a_receiver_that_does_not_hold_them_is_named(fault, message):
    fleet, workers = start({"engine-0": "", "engine-1": fault})
    with pytest.raises(PublishError, match=message):
        send(fleet, workers, 4)


def test_what_two_versions_take_is_bounded_before_anything_is_sent():
    shapes = [("a", (1000, 1000))]
    with pytest.raises(UserError, match=r"weights.staging_gb=0.005: 2 versions of the policy in float32 take 0.0 GB.*bfloat16"):
        Outbox(shapes, dtype=torch.float32, config=WeightsConfig(staging_gb=0.005), device="cpu")
    Outbox(shapes, dtype=torch.bfloat16, config=WeightsConfig(staging_gb=0.005), device="cpu")


def test_a_publish_of_its_own_holds_one_version():
    """Room for one and a half is enough."""
    fleet, workers = start({"engine-0": ""})
    nbytes = sum(4 * tensor.numel() for tensor in policy(0).values())
    send(fleet, workers, 1, staging_gb=1.5 * nbytes / 1e9)
    assert workers[0].target.version == 1


def test_other_tensors_than_planned_are_an_error():
    fleet, _ = start({})
    outbox = Outbox([("a", (3,)), ("b", (2,))], dtype=torch.float32, config=WeightsConfig(), device="cpu")
    with pytest.raises(ValueError, match=r"b \(3,\) came where b \(2,\) was planned"):
        outbox.send(0, [("a", torch.ones(3)), ("b", torch.ones(3))], Route({}, fleet))


def test_what_is_overtaken_while_it_is_staged_is_not_served():
    fleet, (worker, late) = start({"engine-0": "", "engine-1": ""})
    config = WeightsConfig(transport="shm", bucket_mb=1e-3)
    outbox = Outbox(SHAPES.items(), dtype=torch.float32, config=config, device="cpu")
    old, *_ = [outbox.send(version, policy(version).items(), Route.of([worker], fleet)) for version in (1, 2)]
    worker.call("stage", old).result()
    outbox.send(3, policy(3).items(), Route.of([worker], fleet))
    with pytest.raises(WorkerDied, match="version 1 was overwritten while it was loaded"):
        worker.call("commit", 1).result()
    with pytest.raises(TransferError, match="engine-1: version 1 is no longer in shared memory"):
        late.call("stage", old).result()
    outbox.close()


def test_a_send_that_fails_leaves_the_version_before_it_readable():
    fleet, (worker,) = start({"engine-0": ""})
    outbox = Outbox(SHAPES.items(), dtype=torch.float32, config=WeightsConfig(transport="shm"), device="cpu")
    route = Route.of([worker], fleet)
    for version in (1, 2):
        kept = outbox.send(version, policy(version).items(), route)
    for _ in range(3):
        with pytest.raises(ValueError, match=r"nothing \(0,\) came where c"):
            outbox.send(3, list(policy(3).items())[:2], route)
    worker.call("stage", kept).result()
    assert worker.call("commit", 2).result().fingerprints == kept.fingerprints
    outbox.close()
