"""What a publish costs: between processes of this host by every transport, against a plain copy of the same bytes; and at the engine.

Receivers are processes of their own that hold tensors and no model. Times are wall times, as several processes take part.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from benchmarks.compare import Comparison, alternate, goal
from benchmarks.engines import finish, policy, random_prefixes, requests, rollout_engine, settings
from ib_lpo.fleet.config import ClusterConfig
from ib_lpo.fleet.local import LocalFleet
from ib_lpo.fleet.ray import RayFleet
from ib_lpo.weights.config import WeightsConfig
from ib_lpo.weights.fingerprint import fingerprint
from ib_lpo.weights.inbox import Inbox, load
from ib_lpo.weights.outbox import Outbox
from ib_lpo.weights.parcel import Layout, Parcel, Receipt, plan
from ib_lpo.weights.place import Place, Route, here
from ib_lpo.weights.publish import deliver
from ib_lpo.weights.transports import TRANSPORTS

CALLS = 2  # per receiver and publish: stage, commit
SENT = ("shm", "object", "gloo")
RECEIVERS = (1, 2)
HIDDEN, INNER, LAYERS, WORDS = 1024, 2816, 8, 32_000  # 135 million parameters, 541 MB in float32
PROMPT = 512  # tokens
LEAST = 0.5  # of memcpy, on shared memory

SHAPES: dict[str, tuple[int, int]] = {"embed": (WORDS, HIDDEN)}
for _layer in range(LAYERS):
    SHAPES |= {f"{_layer}.{name}": (HIDDEN, HIDDEN) for name in "qkvo"}
    SHAPES |= {f"{_layer}.{name}": (INNER, HIDDEN) for name in ("up", "gate", "down")}


class Taker:
    """A receiver without a model."""

    def __init__(self, name: str):
        self._name = name
        self._live = {key: torch.zeros(shape) for key, shape in SHAPES.items()}
        self._inbox = Inbox(name, self._live, config=WeightsConfig())

    def place(self) -> Place:
        return here("cpu", self._name)

    def stage(self, parcel: Parcel) -> None:
        self._inbox.stage(parcel)

    def commit(self, version: int) -> Receipt:
        began = time.perf_counter()
        load(self._live, self._inbox.tensors(version))
        self._inbox.confirm()
        prints = {name: fingerprint(tensor) for name, tensor in self._live.items()}
        return Receipt(self._name, version, prints, time.perf_counter() - began)


class Bench:
    """One policy, its receivers, and an outlet and an outbox of every transport."""

    def __init__(self, fleet: RayFleet):
        self.fleet, self._versions = fleet, count()
        self._takers = [fleet.spawn(Taker, f"taker-{i}", name=f"taker-{i}", cpus=0) for i in range(max(RECEIVERS))]
        self._tensors = {name: torch.randn(shape) for name, shape in SHAPES.items()}
        self._prints = {name: fingerprint(tensor) for name, tensor in self._tensors.items()}
        self._layout: Layout = plan(SHAPES.items(), torch.float32, int(WeightsConfig().bucket_mb * 1e6))
        self._copy = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
        self._routes = {n: Route.of(self._takers[:n], fleet) for n in RECEIVERS}
        self._outlets = {name: TRANSPORTS[name].Outlet(60.0) for name in SENT}
        self._outboxes = {
            name: Outbox(SHAPES.items(), dtype=torch.float32, config=WeightsConfig(transport=name), device="cpu") for name in SENT
        }

    @property
    def gb(self) -> float:
        """Of one version."""
        return self._layout.nbytes / 1e9

    def memcpy(self) -> float:
        """GB/s of copying the policy inside of this process."""
        began = time.perf_counter()
        load(self._copy, iter(self._tensors.items()))
        return self.gb / (time.perf_counter() - began)

    def hand_over(self, transport: str, receivers: int) -> float:
        """GB/s from the sender's tensors until every receiver can read all of them."""
        version = next(self._versions)
        stream = iter(self._tensors.values())

        def fill(index: int, bucket: Tensor) -> None:
            for spec in self._layout.buckets[index]:
                spec.view(bucket).copy_(next(stream))

        began = time.perf_counter()
        content = self._outlets[transport].write(version, self._layout, self._routes[receivers], fill)
        parcel = Parcel(version=version, transport=transport, content=content, layout=self._layout, fingerprints=self._prints)
        for pending in [taker.call("stage", parcel) for taker in self._takers[:receivers]]:
            pending.result()
        return self.gb / (time.perf_counter() - began)

    def publish(self, transport: str, receivers: int) -> float:
        """GB/s of a whole publish: sent, staged, loaded, fingerprints taken and read back and compared."""
        version = next(self._versions)
        began = time.perf_counter()
        parcel = self._outboxes[transport].send(version, self._tensors.items(), self._routes[receivers])
        metrics = deliver(parcel, self._takers[:receivers])
        if metrics["publish/rpcs"] != CALLS:
            raise RuntimeError(f"{metrics['publish/rpcs']:.0f} calls per receiver instead of {CALLS}")
        return self.gb / (time.perf_counter() - began)


@contextmanager
def bench() -> Iterator[Bench]:
    fleet = RayFleet(ClusterConfig(cpus=4))
    try:
        yield Bench(fleet)
    finally:
        fleet.shutdown()


def transports(rounds: int) -> list[Comparison]:
    """Tables of what every transport reaches."""
    with bench() as made:
        tables = [
            _against_memcpy(made, "Weights handed over", made.hand_over, rounds).noted(
                "From the learner's tensors until every receiver can read all of them, without fingerprints on the way in; gloo checks "
                "them on arrival."
            ),
            _against_memcpy(made, "Weights published", made.publish, rounds).noted(
                f"All of it: fingerprints of what is sent, {CALLS} calls per receiver, the copy into live tensors, fingerprints read back: "
                "two copies and two fingerprints, one after the other."
            ),
        ]
        reached = tables[0].ratio("shm, 1 receiver")
        return [tables[0].noted(f"{tables[0].note} Shared memory: {goal(LEAST, reached)} {made.gb:.2f} GB per version."), tables[1]]


def _against_memcpy(made: Bench, title: str, measure: Callable[[str, int], float], rounds: int) -> Comparison:
    variants: dict[str, Callable[[], float]] = {"memcpy": made.memcpy}
    for transport in SENT:
        for receivers in RECEIVERS:
            variants[f"{transport}, {receivers} receiver{'s' * (receivers > 1)}"] = partial(measure, transport, receivers)
    return alternate(title, "GB/s", variants, rounds)


def first_token(rounds: int) -> list[Comparison]:
    """Time to the first token of a prompt: read from the cache, and right after a commit, which empties it."""
    rng = np.random.default_rng(0)
    asked = requests(random_prefixes(rng, 1, PROMPT), tokens=1, rng=rng, latent=False)
    with TemporaryDirectory() as folder, rollout_engine(settings(policy(Path(folder))), "cpu") as engine:
        live = {name: tensor.clone() for name, tensor in engine._on_model("live_tensors").items()}
        shapes = [(name, tuple(tensor.shape)) for name, tensor in live.items()]
        outbox = Outbox(shapes, dtype=torch.float32, config=WeightsConfig(), device="cpu")
        parcel = outbox.send(0, live.items(), Route({}, LocalFleet()))
        paused: list[float] = []

        def ask() -> float:
            began = time.perf_counter()
            finish(engine, asked)
            return 1e3 * (time.perf_counter() - began)

        def cached() -> float:
            ask()
            return ask()

        def committed() -> float:
            engine.stage(parcel)
            paused.append(engine.commit(0).seconds)
            return ask()

        table = alternate("Time to the first token", "ms", {"prompt in the cache": cached, "after a commit": committed}, rounds)
        return [
            table.noted(
                f"A prompt of {PROMPT} tokens, a policy of {parcel.nbytes / 4e6:.0f} million parameters in float32. The commit itself, "
                f"with every fingerprint read back, kept the engine for {1e3 * median(paused):.0f} ms before."
            )
        ]
