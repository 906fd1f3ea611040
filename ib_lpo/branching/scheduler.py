"""BranchScheduler: grows batches of rollout trees on the engines, any number of batches at a time.

Who waits for whom: nobody. A root's forks start the moment it ends; their latents are drawn while the engines go on; a branch is
requested as soon as its fork has them; a tree is graded as soon as it is grown and the verifier has time. In a synchronous run
(max_staleness: 0) an engine is not called while it waits for latents of its own forks, so that each engine sees the same calls in every run
of the same manifest, however the engines interleave: the trees are identical.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from ib_lpo.branching.config import BranchingConfig
from ib_lpo.branching.growth import Growth, GrowthPlan, Sprout
from ib_lpo.fleet.base import Pending, Worker
from ib_lpo.fleet.loop import EventLoop
from ib_lpo.latent.sampler import LatentRequest
from ib_lpo.manifest import Manifest
from ib_lpo.rollout.engines import Engines
from ib_lpo.rollout.pool import Group
from ib_lpo.rollout.request import Generation, GenerationRequest
from ib_lpo.scoring.answer_span import Decode, answer_start
from ib_lpo.scoring.grade import set_grades, to_grade
from ib_lpo.tree import Question, RolloutTree

_GRADINGS = 2  # calls of the verifier under way at most: one that it works on, one that is there when it is done


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainSampling:
    """How questions are sampled without branches and without z."""

    purpose: str  # part of every seed
    samples: int  # per question
    temperature: float
    max_response_tokens: int
    top_p: float = 1.0
    top_k: int | None = None


@dataclass(slots=True, eq=False)
class Batch:
    """Questions that grow together; `trees`, in their order, once `done`."""

    tag: str  # part of the ids of its requests
    growth: Growth
    questions: int
    graded: bool  # whether its trees are graded
    on_done: Callable[["Batch"], None] = field(default=lambda batch: None)
    found: dict[int, RolloutTree] = field(default_factory=dict)  # by the number of the question

    @property
    def done(self) -> bool:
        return len(self.found) == self.questions

    @property
    def trees(self) -> list[RolloutTree]:
        """Raises RuntimeError before the end."""
        if not self.done:
            raise RuntimeError(f"batch {self.tag} still grows {self.questions - len(self.found)} of {self.questions} trees")
        return [self.found[number] for number in range(self.questions)]


Grown = tuple[Batch, int, RolloutTree]
"""A tree, and which question of which batch it answers."""


class BranchScheduler:
    """Runs in the driver. `sampler`: LatentSampler; `verifier`: Verifier."""

    def __init__(self, manifest: Manifest, loop: EventLoop, sampler: Worker, verifier: Worker, decode: Decode):
        """`serve_on` belongs before anything else."""
        self._manifest, self._loop = manifest, loop
        self._sampler, self._verifier, self._decode = sampler, verifier, decode
        self._batches: dict[str, Batch] = {}
        self._ungraded: list[Grown] = []  # in no call yet
        self._gradings = 0  # calls under way

    def serve_on(self, engines: Engines, mend: Callable[[], None]) -> None:
        """The engines to grow on; they report to `on_generations`. `mend` brings the present weights to engines that are `starved`."""
        self._engines, self._mend = engines, mend

    def grow(self, step: int, batch: int, questions: list[Question], on_done: Callable[[Batch], None]) -> Batch:
        """Start to grow and grade a batch of a training step: roots, forks, latents, branches. No token may be older than
        version step - 1 - max_staleness."""
        m = self._manifest
        oldest = step - 1 - m.max_staleness
        return self._start(f"{step}.{batch}", questions, self._plan(m.branching, (m.seed, step, "train"), oldest), True, on_done)

    def sample(self, version: int, questions: list[Question], how: PlainSampling) -> list[RolloutTree]:
        """Trees of roots alone, without z, not graded, all of `version` or newer. The engines forget them, as a resumed run never
        saw them."""
        m = self._manifest
        plan = GrowthPlan(
            branching=m.branching.model_copy(update={"roots": how.samples, "branches": 0}),
            max_response_tokens=how.max_response_tokens,
            temperature=how.temperature,
            top_p=how.top_p,
            top_k=how.top_k,
            oldest=version,
            seed_path=(m.seed, version, how.purpose),
        )
        self.wait(lambda: self._engines.version == version, f"the publish of version {version}")
        batch = self._start(f"{how.purpose}.{version}", questions, plan, False, lambda batch: None)
        self.wait(lambda: batch.done, f"{how.purpose} of version {version}")
        self._engines.empty_caches()
        return batch.trees

    @property
    def version(self) -> int | None:
        """What whoever serves generates with, at least; None before the first publish."""
        return self._engines.version

    def wait(self, holds: Callable[[], bool], what: str) -> None:
        """Serve until `holds`; lets the learner publish again where nobody can generate before it does."""
        while not holds():
            self._loop.until(lambda: holds() or self._engines.starved, what)
            if not holds():
                self._mend()

    def abandon(self) -> None:
        """Drop everything that grows."""
        self._batches.clear()
        self._ungraded.clear()
        self._engines.abandon()

    def on_generations(self, engine: int, found: list[tuple[Group, Generation]]) -> None:
        """Take what an engine finished: start the forks it made possible, grade the trees it completed."""
        sprouts: list[tuple[Batch, Sprout]] = []
        for (tag, question), generation in found:
            if (batch := self._batches.get(tag)) is None:
                continue
            own = batch.growth.on_generation(replace(generation, id=generation.id.removeprefix(f"{tag}|")), engine)
            for sprout in own:
                self._engines.hold((tag, question))
                sprouts.append((batch, sprout))
            if not own:
                self._perhaps_grown(batch, question)
        if sprouts:
            asked = [LatentRequest(prefix_ids=s.prefix_ids, count=s.count, seed=s.seed) for _, s in sprouts]
            self._loop.on(self._sampler.call("sample", asked), partial(self._on_latents, sprouts))

    def _on_latents(self, sprouts: list[tuple[Batch, Sprout]], pending: Pending) -> None:
        alive = [(batch, s, zs) for (batch, s), zs in zip(sprouts, pending.result(), strict=True) if self._batches.get(batch.tag) is batch]
        branches = [((batch.tag, s.question), _tagged(batch.tag, batch.growth.on_latents(s.id, zs))) for batch, s, zs in alive]
        self._engines.release([group for group, _ in branches])
        self._engines.submit(branches)

    def _perhaps_grown(self, batch: Batch, question: int) -> None:
        tree = batch.growth.grown(question)
        if tree is None:
            return
        self._engines.forget((batch.tag, question))
        if batch.graded:
            self._ungraded.append((batch, question, tree))
            self._grade()
        else:
            self._settle(batch, question, tree)

    def _grade(self) -> None:
        """All trees that wait for it, in one call; while the verifier has enough to do, they wait for the next one."""
        if self._ungraded and self._gradings < _GRADINGS:
            grown, self._ungraded = self._ungraded, []
            self._gradings += 1
            pending = self._verifier.call("grade", to_grade([tree for _, _, tree in grown], self._decode))
            self._loop.on(pending, partial(self._on_grades, grown))

    def _on_grades(self, grown: list[Grown], pending: Pending) -> None:
        self._gradings -= 1
        set_grades([tree for _, _, tree in grown], pending.result())
        for batch, question, tree in grown:
            self._settle(batch, question, tree)
        self._grade()

    def _settle(self, batch: Batch, question: int, tree: RolloutTree) -> None:
        batch.found[question] = tree
        if batch.done and self._batches.get(batch.tag) is batch:
            del self._batches[batch.tag]
            batch.on_done(batch)

    def _start(self, tag: str, questions: list[Question], plan: GrowthPlan, graded: bool, on_done: Callable[[Batch], None]) -> Batch:
        growth = Growth(plan, questions, lambda ids: answer_start(ids, self._decode))
        batch = Batch(tag, growth, len(questions), graded, on_done)
        requests = growth.start()
        self._batches[tag] = batch
        self._engines.submit([((tag, number), _tagged(tag, of)) for number, of in enumerate(requests)])
        if batch.done:  # no questions at all
            del self._batches[tag]
            on_done(batch)
        return batch

    def _plan(self, branching: BranchingConfig, seed_path: tuple[object, ...], oldest: int) -> GrowthPlan:
        r = self._manifest.rollout
        limits = {"max_response_tokens": r.max_response_tokens, "temperature": r.temperature, "top_p": r.top_p, "top_k": r.top_k}
        return GrowthPlan(branching=branching, **limits, oldest=oldest, seed_path=seed_path)


def _tagged(tag: str, requests: Sequence[GenerationRequest]) -> list[GenerationRequest]:
    """A question may grow in several batches at a time."""
    return [replace(request, id=f"{tag}|{request.id}") for request in requests]
