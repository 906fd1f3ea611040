"""Trees of random questions, grown by the scheduler of a run on one engine in this process."""

from dataclasses import dataclass, field

import numpy as np

from benchmarks.engines import SHORT_VOCAB
from ib_lpo.branching.scheduler import BranchScheduler
from ib_lpo.fleet.local import LocalFleet, LocalWorker
from ib_lpo.latent.sampler import LatentSampler
from ib_lpo.manifest import Manifest
from ib_lpo.rollout.engine import RolloutEngine
from ib_lpo.rollout.request import Generation, GenerationRequest
from ib_lpo.tree import Question, RolloutTree

ROOTS, BRANCHES, PROMPTS = 2, 3, (64, 129)  # per question; per root; prompt tokens, from and below
TREE = {"roots": ROOTS, "branches": BRANCHES}  # the manifest's section `branching`


@dataclass(slots=True)
class Recorded:
    """An engine that notes what it was asked for."""

    engine: RolloutEngine
    asked: list[GenerationRequest] = field(default_factory=list)

    def advance(self, requests: list[GenerationRequest]) -> list[Generation]:
        self.asked += requests
        return self.engine.advance(requests)


class Grower:
    """Grows trees under `manifest` on `engine`."""

    def __init__(self, manifest: Manifest, engine: RolloutEngine):
        self._engine = Recorded(engine)
        sampler = LocalWorker("sampler", LatentSampler(manifest))
        self._scheduler = BranchScheduler(manifest, LocalFleet(), [LocalWorker("engine", self._engine)], sampler)

    def grow(self, step: int, questions: list[Question]) -> tuple[list[RolloutTree], list[GenerationRequest]]:
        """The trees, and the requests that made them, in the order in which the scheduler sent them."""
        self._engine.asked = []
        return self._scheduler.grow(step, questions), self._engine.asked


def questions(rng: np.random.Generator, count: int) -> list[Question]:
    """Random prompts."""
    sizes = rng.integers(*PROMPTS, size=count)
    prompts = [tuple(rng.integers(2, SHORT_VOCAB, size=size).tolist()) for size in sizes]
    return [Question(id=f"q{i}", text="", answer="", prompt_ids=prompt, answer_ids=()) for i, prompt in enumerate(prompts)]
