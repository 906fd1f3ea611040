"""Trees of random questions, grown by the scheduler of a run on one engine in this process."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.engines import SHORT_VOCAB
from ib_lpo.branching.scheduler import BranchScheduler
from ib_lpo.fleet.local import LocalFleet, LocalWorker
from ib_lpo.fleet.loop import EventLoop
from ib_lpo.latent.sampler import LatentSampler
from ib_lpo.manifest import Manifest
from ib_lpo.rollout.engine import RolloutEngine
from ib_lpo.rollout.engines import Engines
from ib_lpo.rollout.request import Generation, GenerationRequest
from ib_lpo.scoring.grades import WRONG, Grade
from ib_lpo.tree import Question, RolloutTree
from ib_lpo.weights.delivery import Delivery
from ib_lpo.weights.parcel import Layout, Parcel, Receipt

ROOTS, BRANCHES, PROMPTS = 2, 3, (64, 129)  # per question; per root; prompt tokens, from and below
TREE = {"roots": ROOTS, "branches": BRANCHES}  # the manifest's section `branching`
HELD = Parcel(version=0, transport="none", content=None, layout=Layout((), ()), fingerprints={})


@dataclass(slots=True)
class Recorded:
    """An engine that has its weights, and notes what it was asked for."""

    engine: RolloutEngine
    asked: list[GenerationRequest] = field(default_factory=list)

    def place(self) -> Any:
        return self.engine.place()

    def stage(self, parcel: Parcel) -> None:
        """Nothing to read."""

    def commit(self, version: int) -> Receipt:
        return Receipt("engine-0", version, {})

    def advance(self, requests: list[GenerationRequest]) -> list[Generation]:
        self.asked += requests
        return self.engine.advance(requests)


class Ungraded:
    """Costs nothing."""

    def grade(self, items: list[tuple[str, str]]) -> list[Grade]:
        return [WRONG] * len(items)


class Grower:
    """Grows trees under `manifest` on `engine`."""

    def __init__(self, manifest: Manifest, engine: RolloutEngine):
        self._engine = Recorded(engine)
        loop = EventLoop(LocalFleet(), manifest.cluster.call_deadline_s)
        sampler, verifier = LocalWorker("sampler", LatentSampler, manifest), LocalWorker("verifier", Ungraded)
        self._scheduler = BranchScheduler(manifest, loop, sampler, verifier, lambda ids: "")
        engines = Engines(
            manifest, "cpu", loop, self._scheduler.on_generations, lambda index, birth: LocalWorker("engine-0", lambda: self._engine)
        )
        self._scheduler.serve_on(engines, lambda: None)
        loop.until(lambda: engines.started, "the engine")
        engines.publish(Delivery(HELD, loop.now()))
        loop.until(lambda: engines.version == HELD.version, "the engine's weights")

    def grow(self, number: int, questions: list[Question]) -> tuple[list[RolloutTree], list[GenerationRequest]]:
        """The trees of a batch, and the requests that made them, in the order in which the scheduler sent them."""
        self._engine.asked = []
        batch = self._scheduler.grow(0, number, questions, lambda batch: None)
        self._scheduler.wait(lambda: batch.done, "the trees")
        return batch.trees, self._engine.asked


def questions(rng: np.random.Generator, count: int) -> list[Question]:
    """Random prompts."""
    sizes = rng.integers(*PROMPTS, size=count)
    prompts = [tuple(rng.integers(2, SHORT_VOCAB, size=size).tolist()) for size in sizes]
    return [Question(id=f"q{i}", text="", answer="", prompt_ids=prompt, answer_ids=()) for i, prompt in enumerate(prompts)]
