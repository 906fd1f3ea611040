"""Rollout engines in virtual time, any of which can be made to fail in any call."""

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np

from ib_lpo.fleet.base import successor
from ib_lpo.fleet.loop import EventLoop
from ib_lpo.manifest import validate
from ib_lpo.rollout.engines import Engines
from ib_lpo.rollout.request import GenerationRequest
from ib_lpo.weights.delivery import Delivery
from ib_lpo.weights.parcel import Layout, Parcel, Receipt
from tools.sim.fleet import SimFleet
from tools.sim.workers import SimEngine

SUSPECT_S, DEAD_S = 60.0, 120.0


class Fleet(SimFleet):
    """An answer that is an exception is raised."""

    def _end(self, worker, pending, value):
        pending.error = value if isinstance(value, Exception) else None
        super()._end(worker, pending, value)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What becomes of a call, `times` times."""

    times: int = 1
    error: Exception | None = None
    dies: bool = False
    hangs: bool = False
    wrong: bool = False  # the receipt is
    seconds: float | None = None  # that it takes instead


class Engine(SimEngine):
    """Writes down what is asked of it."""

    def __init__(self, name, rig):
        super().__init__(name, running=4, iteration_s=0.02, mean_tokens=60.0, slice_iterations=100)
        self.rig = rig

    def stage(self, parcel):
        return self._do("stage", parcel.version, parcel)

    def commit(self, version):
        return self._do("commit", version, version)

    def advance(self, requests):
        return self._do("advance", tuple(request.id for request in requests), requests)

    def abandon(self):
        return self._do("abandon", None)

    def forget(self):
        return self._do("forget", None)

    def _do(self, method, what, *args):
        rig = self.rig
        fault = rig.fault(self.name, method)
        rig.log.append(Asked(rig.fleet.clock, self.name, method, what))
        if fault.dies:
            rig.fleet.at(0.1, rig.workers[self.name].kill)
            return None, 1e6
        rig.workers[self.name].hung |= fault.hangs
        value, seconds = (fault.error, 0.1) if fault.error else getattr(super(), method)(*args)
        if fault.wrong:
            value = Receipt(self.name, what, {"w": -1})
        return value, seconds if fault.seconds is None else fault.seconds


@dataclass(frozen=True, slots=True)
class Asked:
    at: float  # seconds
    engine: str
    method: str
    what: object  # version, or ids of new requests


def parcel(version):
    return Parcel(version=version, transport="sim", content=None, layout=Layout((), ()), fingerprints={"w": version})


@dataclass
class Rig:
    """`faults[engine, method]` come one after the other."""

    engines_wanted: int = 2
    max_staleness: int = 1
    faults: dict = field(default_factory=dict)
    cluster: dict = field(default_factory=dict)
    values: dict = field(default_factory=dict)  # of the manifest, sections whole

    def __post_init__(self):
        self.fleet, self.log, self.workers, self.heard, self.versions = Fleet(), [], {}, [], []
        self.loop = EventLoop(self.fleet, deadline_s=2000.0, now=self.fleet.now)
        self.manifest = validate(
            {
                "name": "rig",
                "steps": 1,
                "max_staleness": self.max_staleness,
                "model": {"path": "none"},
                "rollout": {"engines": self.engines_wanted, "max_response_tokens": 4096},
                "latent": {"kind": "none"},
                "weights": {"deadline_s": SUSPECT_S / 2},
                "cluster": {"suspect_after_s": SUSPECT_S, "dead_after_s": DEAD_S, **self.cluster},
            }
            | self.values
        )
        self.engines = Engines(self.manifest, "cpu", self.loop, self.listen, self.make)
        self.engines.on_version = self.versions.append
        self.loop.until(lambda: self.engines.started, "the start")

    def listen(self, engine, found):
        self.heard += [generation for _, generation in found]

    def make(self, index, birth):
        name = successor(f"engine-{index}", birth)
        self.workers[name] = self.fleet.host(name, Engine(name, self))
        return self.workers[name]

    def fault(self, name, method):
        waiting = self.faults.get((name, method))
        if not waiting:
            return Fault()
        left = replace(waiting[0], times=waiting[0].times - 1)
        self.faults[name, method] = ([left] if left.times else []) + waiting[1:]
        return waiting[0]

    def send(self, version, **values):
        delivery = Delivery(parcel(version), self.loop.now(), **values)
        self.engines.publish(delivery)
        return delivery

    def publish(self, version):
        delivery = self.send(version)
        self.loop.until(lambda: delivery.over, f"version {version}")
        return delivery

    def ask(self, count, of="q", prompt=(1, 2)):
        """Requests of as many groups; their ids."""
        ids = [f"{of}{i}" for i in range(count)]
        requests = [
            GenerationRequest(id=id, prefix_ids=np.asarray(prompt, np.int32), max_new_tokens=4000, seed=i, temperature=1.0)
            for i, id in enumerate(ids)
        ]
        self.engines.submit([(request.id, [request]) for request in requests])
        return ids

    def wait(self, seconds):
        end = self.fleet.clock + seconds
        self.fleet.at(seconds, lambda: None)
        self.loop.until(lambda: self.fleet.clock >= end, "some time")

    def hear(self, ids):
        """Until all of these have come; each once."""
        self.loop.until(lambda: len(self.heard) >= len(ids), "all answers")
        assert Counter(generation.id for generation in self.heard) == Counter(ids)

    def asked(self, engine=None, method=None):
        return [one for one in self.log if engine in (None, one.engine) and method in (None, one.method)]
