"""The simulated workers: they keep the books of real ones, and sleep where those compute."""

import heapq
from typing import Any

import numpy as np

from ib_lpo.rollout.request import Generation, GenerationRequest
from ib_lpo.scoring.grades import CORRECT, WRONG, Grade
from ib_lpo.seeds import generator
from ib_lpo.tree import Status, VersionSpan
from ib_lpo.weights.parcel import Layout, Parcel, Receipt
from ib_lpo.weights.place import Place

PLACE = Place("here", "here", 0)
SHOWN = 16  # tokens that a generation carries: the driver's work on arrays is per trajectory, not per token


class SimEngine:
    """Decodes up to `running` sequences together, a token each per iteration of `iteration_s` seconds. Lengths are long-tailed."""

    def __init__(self, name: str, *, running: int, iteration_s: float, mean_tokens: float, slice_iterations: int):
        self.name, self._running, self._iteration_s = name, running, iteration_s
        self._mean, self._slice = mean_tokens, slice_iterations
        self._version = -1
        self._staged: Parcel | None = None
        self._iteration = 0
        self._decoding: list[tuple[int, str]] = []  # heap of (last iteration, id)
        self._waiting: list[GenerationRequest] = []
        self._known: dict[str, tuple[GenerationRequest, list[tuple[int, int]]]] = {}  # with (version, from iteration)
        self.tokens = 0

    def place(self) -> tuple[Place, float]:
        return PLACE, 20.0  # what loading takes

    def stage(self, parcel: Parcel) -> tuple[None, float]:
        self._staged = parcel
        return None, 0.5

    def commit(self, version: int) -> tuple[Receipt, float]:
        self._version = version
        for _, switches in self._known.values():
            if switches:
                switches.append((version, self._iteration))
        return Receipt(self.name, version, self._staged.fingerprints), 1.0

    def forget(self) -> tuple[None, float]:
        return None, 0.0

    def abandon(self) -> tuple[None, float]:
        self._decoding, self._waiting, self._known = [], [], {}
        return None, 0.0

    def advance(self, requests: list[GenerationRequest]) -> tuple[list[Generation], float]:
        for request in requests:
            self._known[request.id] = (request, [])
            self._waiting.append(request)
        self._admit()
        if not self._decoding:
            return [], 0.0
        began = self._iteration
        self._iteration = min(self._decoding[0][0], began + self._slice)
        self.tokens += len(self._decoding) * (self._iteration - began)
        finished = []
        while self._decoding and self._decoding[0][0] <= self._iteration:
            finished.append(self._generation(heapq.heappop(self._decoding)[1]))
        self._admit()
        return finished, (self._iteration - began) * self._iteration_s

    def _admit(self) -> None:
        while self._waiting and len(self._decoding) < self._running:
            request = self._waiting.pop(0)
            self._known[request.id][1].append((self._version, self._iteration))
            length = int(generator(request.seed, "length").lognormal(np.log(self._mean) - 0.5, 1.0))
            length = min(max(SHOWN, length), request.max_new_tokens)
            heapq.heappush(self._decoding, (self._iteration + length, request.id))

    def _generation(self, id: str) -> Generation:
        request, switches = self._known.pop(id)
        rng = np.random.default_rng(request.seed)
        began, whole = switches[0][1], max(1, self._iteration - switches[0][1])
        shown = min(SHOWN, request.max_new_tokens)
        starts = [(version, (at - began) * shown // whole) for version, at in switches]
        ends = [start for _, start in starts[1:]] + [shown]
        spans = [VersionSpan(version=v, start=s, end=e) for (v, s), e in zip(starts, ends, strict=True) if e > s]
        return Generation(
            id=id,
            token_ids=rng.choice(np.setdiff1d(np.arange(9), request.excluded), shown).astype(np.int32),
            logprobs=np.full(shown, -3.0, np.float32),
            entropies=rng.uniform(0, 3, shown).astype(np.float32),
            status=Status.TRUNCATED if shown == request.max_new_tokens else Status.FINISHED,
            spans=tuple(spans),
            cached_tokens=0,
        )


class SimLearner:
    """One rank."""

    def __init__(self, *, update_s: float, publish_s: float):
        self._update_s, self._publish_s = update_s, publish_s

    def start(self) -> tuple[None, float]:
        """Also loads a checkpoint."""
        return None, 60.0

    def ready(self) -> tuple[None, float]:
        return None, 0.0

    def update(self, step: int) -> tuple[None, float]:
        return None, self._update_s

    def publish(self, version: int) -> tuple[Parcel, float]:
        return Parcel(version=version, transport="sim", content=None, layout=Layout((), ()), fingerprints={"w": version}), self._publish_s


class SimVerifier:
    """A random reward per response."""

    def grade(self, items: list[tuple[str, str]]) -> tuple[list[Grade], float]:
        return [CORRECT if generator(text).random() < 0.5 else WRONG for text, _ in items], 0.0005 * len(items)

    def stats(self) -> tuple[dict[str, float], float]:
        return {}, 0.0


class SimSampler:
    """No latents."""

    def sample(self, forks: list[Any]) -> tuple[list[list[None]], float]:
        return [[None] * fork.count for fork in forks], 0.005
