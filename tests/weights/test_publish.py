"""Publishing to in-process receivers: bounded, complete, verified."""

import pytest
import torch

from ib_lpo.fleet.local import LocalFleet
from ib_lpo.weights.bucket import Bucket, Receipt, unpack
from ib_lpo.weights.config import WeightsConfig
from ib_lpo.weights.fingerprint import fingerprint
from ib_lpo.weights.publish import PublishError, publish


class Holder:
    """A receiver that keeps what it gets; `fault` says what it does wrong."""

    def __init__(self, name: str, fault: str = ""):
        self.name, self.fault, self.version, self.tensors = name, fault, None, {}

    def begin_update(self, version: int) -> None:
        self.version = version

    def load_bucket(self, bucket: Bucket) -> None:
        self.tensors |= dict(unpack(bucket))

    def finish_update(self) -> Receipt:
        if self.fault == "corrupt":
            self.tensors["b"].view(-1)[3] += 1
        if self.fault == "missing":
            del self.tensors["b"]
        version = self.version - 1 if self.fault == "stale" else self.version
        return Receipt(self.name, version, {name: fingerprint(t) for name, t in self.tensors.items()})


TENSORS = {
    "a": torch.randn(40, 10),
    "b": torch.randn(7).to(torch.bfloat16),
    "c": torch.randn(3, 5),
    "maps.kv": torch.randn(900),
}


def send(holders, **config):
    fleet = LocalFleet()
    workers = [fleet.spawn(Holder, name, fault, name=name) for name, fault in holders.items()]
    report = publish(
        iter(TENSORS.items()), version=4, receivers=workers, fleet=fleet, config=WeightsConfig(**{"bucket_mb": 1e-3, **config})
    )
    return report, [w.target for w in workers]


@pytest.mark.parametrize("in_flight", [1, 3])
def test_every_receiver_holds_every_bit(in_flight):
    report, holders = send({"engine-0": "", "scorer-0": ""}, in_flight=in_flight)
    for holder in holders:
        assert holder.version == 4
        assert holder.tensors.keys() == TENSORS.keys()
        for name, tensor in TENSORS.items():
            assert torch.equal(holder.tensors[name], tensor) and holder.tensors[name].dtype == tensor.dtype
    assert report.buckets == 3 and report.tensors == 4
    assert report.bytes == sum(t.numel() * t.element_size() for t in TENSORS.values())
    assert report.metrics()["publish/gb_per_s"] == pytest.approx(report.bytes / 1e9 / report.seconds)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("corrupt", r"engine-1: b has fingerprint \w+ after the publish of version 4"),
        ("missing", r"engine-1: has no tensor b after the publish of version 4"),
        ("stale", r"engine-1: reports version 3 after the publish of version 4"),
    ],
)
def test_a_receiver_that_does_not_hold_them_is_named(fault, message):
    with pytest.raises(PublishError, match=message):
        send({"engine-0": "", "engine-1": fault})


def test_no_more_than_in_flight_buckets_are_unacknowledged():
    waiting, most = set(), []

    class Slow:
        def __init__(self, method):
            self.method = method
            if method == "load_bucket":
                waiting.add(self)
                most.append(len(waiting))

        def result(self, deadline_s=None):
            waiting.discard(self)
            sent = {name: fingerprint(t) for name, t in TENSORS.items()}
            return Receipt("slow", 4, sent) if self.method == "finish_update" else None

    class SlowWorker:
        name = "slow"

        def call(self, method, *args):
            return Slow(method)

    publish(
        iter(TENSORS.items()), version=4, receivers=[SlowWorker()], fleet=LocalFleet(), config=WeightsConfig(bucket_mb=1e-5, in_flight=2)
    )
    assert len(most) == 4 and max(most) == 2 and not waiting
