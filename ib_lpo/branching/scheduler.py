"""BranchScheduler: grows a step's trees on a pool of engines.

Who waits for whom: each engine has at most one `advance` call outstanding; it returns when something on that engine finishes, and the
next call carries whatever branches that made possible. Engines never wait for one another, and a branch starts at its engine's
next iteration after its parent ended. Since a question lives on one engine, each engine sees the same calls in every run
of the same manifest, however the engines interleave: the trees are identical.
"""

from dataclasses import dataclass

import numpy as np

from ib_lpo.branching.growth import Growth, GrowthPlan, Sprout
from ib_lpo.fleet.base import Fleet, Pending, Worker
from ib_lpo.latent.sampler import LatentRequest
from ib_lpo.manifest import Manifest
from ib_lpo.policy.load import load_tokenizer, text_decoder
from ib_lpo.rollout.request import Generation, GenerationRequest
from ib_lpo.scoring.answer_span import answer_start
from ib_lpo.tree import Question, RolloutTree


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainSampling:
    """How questions are sampled without branches and without z."""

    purpose: str  # part of every seed
    samples: int  # per question
    temperature: float
    max_response_tokens: int
    top_p: float = 1.0
    top_k: int | None = None


class BranchScheduler:
    """Runs inside one worker."""

    def __init__(self, manifest: Manifest, fleet: Fleet, engines: list[Worker], sampler: Worker):
        self._manifest = manifest
        self._fleet = fleet
        self._engines = engines
        self._sampler = sampler
        self._decode = text_decoder(load_tokenizer(manifest.model))

    def ready(self) -> bool:
        return True

    def grow(self, step: int, questions: list[Question]) -> list[RolloutTree]:
        """Roots, forks, latents and branches of one batch of a training step; trees in the order of `questions`."""
        m, r = self._manifest, self._manifest.rollout
        plan = GrowthPlan(
            branching=m.branching,
            max_response_tokens=r.max_response_tokens,
            temperature=r.temperature,
            top_p=r.top_p,
            top_k=r.top_k,
            engines=len(self._engines),
            seed_path=(m.seed, step, "train"),
        )
        return self._run(questions, plan)

    def sample(self, step: int, questions: list[Question], how: PlainSampling | None = None) -> list[RolloutTree]:
        """Trees of roots alone, without z; by default those of the held-out check. The engines forget them, as a resumed run never saw
        them."""
        how = self._held_out() if how is None else how
        plan = GrowthPlan(
            branching=self._manifest.branching.model_copy(update={"roots": how.samples, "branches": 0}),
            max_response_tokens=how.max_response_tokens,
            temperature=how.temperature,
            top_p=how.top_p,
            top_k=how.top_k,
            engines=len(self._engines),
            seed_path=(self._manifest.seed, step, how.purpose),
        )
        trees = self._run(questions, plan)
        for pending in [engine.call("forget") for engine in self._engines]:
            pending.result()
        return trees

    def _held_out(self) -> PlainSampling:
        held_out, longest = self._manifest.held_out, self._manifest.rollout.max_response_tokens
        return PlainSampling(purpose="held_out", samples=held_out.samples, temperature=held_out.temperature, max_response_tokens=longest)

    def _run(self, questions: list[Question], plan: GrowthPlan) -> list[RolloutTree]:
        growth = Growth(plan, questions, lambda ids: answer_start(ids, self._decode))
        inbox = growth.start()
        running: dict[int, Pending] = {}
        busy = dict.fromkeys(inbox, 0)  # requests in an engine's hands
        while not growth.done:
            for engine, requests in inbox.items():
                if engine not in running and (requests or busy[engine]):
                    running[engine] = self._engines[engine].call("advance", requests)
                    busy[engine] += len(requests)
                    inbox[engine] = []
            first = self._fleet.wait_any(list(running.values()))
            engine = next(e for e, pending in running.items() if pending is first)
            finished = running.pop(engine).result()
            busy[engine] -= len(finished)
            inbox[engine] += self._branches(growth, finished)
        return growth.trees()

    def _branches(self, growth: Growth, finished: list[Generation]) -> list[GenerationRequest]:
        sprouts = [sprout for generation in finished for sprout in growth.on_generation(generation)]
        latents = self._latents(sprouts)
        return [request for sprout, zs in zip(sprouts, latents, strict=True) for request in growth.on_latents(sprout.id, zs)]

    def _latents(self, sprouts: list[Sprout]) -> list[list[np.ndarray | None]]:
        if not sprouts:
            return []
        forks = [LatentRequest(prefix_ids=s.prefix_ids, count=s.count, seed=s.seed) for s in sprouts]
        return self._sampler.call("sample", forks).result()
