"""BranchScheduler: grows batches of rollout trees on the engines, any number of batches at a time.

Who waits for whom: nobody. A root's forks start the moment it ends; their latents are drawn while the engines go on; a
branch is requested as soon as its fork has them; a tree is graded as soon as it is grown and the verifier has time. In
a synchronous run (max_staleness: 0) an engine is not called while it waits for latents of its own forks, so that each
engine sees the same calls in every run of the same manifest, however the engines interleave: the trees are identical.
Where forks depend on outcomes (`BranchingConfig.after_grades`), a batch's forks start when all of its roots have ended
and are graded: an engine without requests is then not called until they do, while other batches go on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from ib_lpo.branching.allocation import Allocation
from ib_lpo.branching.config import BranchingConfig
from ib_lpo.branching.growth import Growth, GrowthPlan, Sprout
from ib_lpo.branching.openness import PastForks, Profile
from ib_lpo.branching.root_outcomes import RootOutcomes
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
    past: PastForks | None  # forks of the run that its roots are judged by; None: its trees are not graded
    on_done: Callable[["Batch"], None] = field(default=lambda batch: None)
    found: dict[int, RolloutTree] = field(default_factory=dict)  # by the number of the question

    @property
    def done(self) -> bool:
        return len(self.found) == self.questions

    @property
    def allocation(self) -> Allocation | None:
        """Under `branching.allocate: by_outcome`, what its budget went to; None before its roots were graded."""
        return self.growth.allocation

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
        self._roots = RootOutcomes(manifest, loop, verifier, decode)

    def serve_on(self, engines: Engines, mend: Callable[[], None]) -> None:
        """The engines to grow on; they report to `on_generations`. `mend` brings the present weights to engines that are `starved`."""
        self._engines, self._mend = engines, mend

    def read_roots_with(self, scorers: Sequence[Worker], require_sender: Callable[[], None]) -> None:
        """Scorers that roots are read by where `branching.select` asks for it (`RootOutcomes.read_with`)."""
        self._roots.read_with(scorers, require_sender)

    def grow(
        self,
        step: int,
        batch: int,
        questions: list[Question],
        on_done: Callable[[Batch], None],
        past: PastForks | None = None,
    ) -> Batch:
        """Start to grow and grade a batch of a training step: roots, forks, latents, branches. No token may be older than
        version step - 1 - max_staleness. `past`: the forks of the run so far."""
        m, oldest = self._manifest, step - 1 - self._manifest.max_staleness
        plan = self._plan(m.branching, (m.seed, step, "train"), oldest)
        return self._start(f"{step}.{batch}", questions, plan, on_done, PastForks() if past is None else past)

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
        batch = self._start(f"{how.purpose}.{version}", questions, plan, lambda batch: None)
        self.wait(lambda: batch.done, f"{how.purpose} of version {version}")
        self._engines.empty_caches()
        return batch.trees

    @property
    def version(self) -> int | None:
        """What whoever serves generates with, at least; None before the first publish."""
        return self._engines.version

    def wait(self, holds: Callable[[], bool], what: str) -> None:
        """Serve until `holds`; lets the learner publish again where nobody can generate before it does, and asks
        scorers again that could not read its weights."""
        while not holds():
            self._loop.until(lambda: holds() or self._engines.starved or self._roots.refused, what)
            if self._roots.refused:
                self._roots.again()
            elif not holds():
                self._mend()

    def abandon(self) -> None:
        """Drop everything that grows."""
        self._batches.clear()
        self._ungraded.clear()
        self._roots.abandon()
        self._engines.abandon()

    def on_generations(self, engine: int, found: list[tuple[Group, Generation]]) -> None:
        """Take what an engine finished: start the forks it made possible, grade the trees it completed, and all roots
        of a batch whose forks depend on that."""
        sprouts: list[tuple[Batch, Sprout]] = []
        requests: list[tuple[Group, list[GenerationRequest]]] = []
        for (tag, question), generation in found:
            if (batch := self._batches.get(tag)) is None:
                continue
            follows = batch.growth.on_generation(replace(generation, id=generation.id.removeprefix(f"{tag}|")), engine)
            sprouts += [(batch, sprout) for sprout in follows.sprouts]
            if follows.requests:
                requests.append(((tag, question), _tagged(tag, follows.requests)))
            elif not follows.sprouts:
                self._perhaps_grown(batch, question)
            if batch.growth.ready:
                self._roots.find(batch.growth.roots(), partial(self._on_outcomes, batch))
        self._draw_latents(sprouts)  # which holds engines, so that they see these requests in one call with those of the forks
        self._engines.submit(requests)

    def _on_outcomes(self, batch: Batch, profiles: dict[str, Profile]) -> None:
        """All roots of a batch are graded: start its forks; questions without any are grown."""
        if self._batches.get(batch.tag) is not batch:
            return
        self._draw_latents([(batch, sprout) for sprout in batch.growth.on_outcomes(profiles, batch.past)])
        for question in range(batch.questions):
            self._perhaps_grown(batch, question)

    def _draw_latents(self, sprouts: list[tuple[Batch, Sprout]]) -> None:
        for batch, sprout in sprouts:
            self._engines.hold((batch.tag, sprout.question))
        if sprouts:
            asked = [LatentRequest(prefix_ids=s.prefix_ids, count=s.count, seed=s.seed) for _, s in sprouts]
            self._loop.on(self._sampler.call("sample", asked), partial(self._on_latents, sprouts))

    def _on_latents(self, sprouts: list[tuple[Batch, Sprout]], pending: Pending) -> None:
        alive = [(batch, s, zs) for (batch, s), zs in zip(sprouts, pending.result(), strict=True) if self._batches.get(batch.tag) is batch]
        branches = [((batch.tag, s.question), _tagged(batch.tag, batch.growth.on_latents(s.id, zs))) for batch, s, zs in alive]
        self._engines.release([group for group, _ in branches])
        self._engines.submit(branches)
        for batch, question in dict.fromkeys((batch, sprout.question) for batch, sprout, _ in alive):
            self._perhaps_grown(batch, question)  # a fork may have no token for any branch to begin with

    def _perhaps_grown(self, batch: Batch, question: int) -> None:
        tree = batch.growth.grown(question)
        if tree is None:
            return
        self._engines.forget((batch.tag, question))
        if batch.past is not None and any(t.verdict is None for t in tree.trajectories):
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

    def _start(
        self,
        tag: str,
        questions: list[Question],
        plan: GrowthPlan,
        on_done: Callable[[Batch], None],
        past: PastForks | None = None,
    ) -> Batch:
        """Its trees are graded where `past` is given."""
        growth = Growth(plan, questions, lambda ids: answer_start(ids, self._decode))
        batch = Batch(tag, growth, len(questions), past, on_done)
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
