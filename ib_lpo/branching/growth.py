"""The growth of a batch of rollout trees, as a pure state machine: no Ray, no vLLM, no clock.

    roots ──on_generation──► forks? ──Sprouts──► on_latents ──► branches ──on_generation──► forks? … ──► done
      │                       └─ no candidate: counted, not forked
      └─ with `after_grades`: all ended ──► ready ──on_outcomes──► forks? …
    with `pivot: distinct`: on_latents ──► first pivot ──on_generation──► its branch, and the next pivot …

Events come in, requests come out, each with the number of its question. Invariants: a branch is requested as soon as
its fork's latents are there, whatever other trajectories do; every seed is a function of (run seed, step, purpose,
trajectory), a trajectory's budget of its parent's, and what outcomes decide of the outcomes of all roots, so neither
the order of events nor a request that is issued again changes the trees. A branch forks at tokens of its own, and its
prefix holds one at least. No token is older than the plan's `oldest` policy version.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ib_lpo import seeds
from ib_lpo.branching.allocation import Allocation, Dealt, allocate
from ib_lpo.branching.budget import divide, forks_within
from ib_lpo.branching.config import BranchingConfig
from ib_lpo.branching.fork import draw_forks, in_order
from ib_lpo.branching.openness import PastForks, Profile, openness_along
from ib_lpo.branching.pivots import PivotDraw, joined
from ib_lpo.rollout.request import Generation, GenerationRequest
from ib_lpo.tree import Fork, Question, RolloutTree, Status, Trajectory, natural_order


class StaleTokens(RuntimeError):
    """The staleness bound is broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthPlan:
    """What to grow in one step."""

    branching: BranchingConfig
    max_response_tokens: int
    temperature: float
    top_p: float
    top_k: int | None
    oldest: int  # policy version; no token may come from an older one
    seed_path: tuple[object, ...]  # (run seed, step, purpose)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sprout:
    """A fork that waits for its latents."""

    id: str  # of its first branch
    question: int
    prefix_ids: np.ndarray  # int32, prompt and shared response tokens: the condition c of p(z|c)
    count: int  # branches, K or what the budget leaves
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expected:
    """A trajectory that is being generated."""

    question: int
    seed: int
    quota: int  # most branches that may descend from it
    level: int = 0  # a root's is 0
    parent: str | None = None
    fork: Fork | None = None
    latent: np.ndarray | None = None
    prefix_ids: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))  # response tokens shared with the parent
    pivot: Generation | None = None  # its first token, where that was drawn by a request of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """What follows from an event of a question."""

    sprouts: list[Sprout] = field(default_factory=list)
    requests: list[GenerationRequest] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """A fork whose latents are being drawn; one latent and one quota per branch."""

    question: int
    level: int  # of the branches
    parent: str
    fork: Fork
    prefix_ids: np.ndarray  # int32, response tokens shared with the parent
    first: int  # number of the first branch
    quotas: list[int]
    pivots: PivotDraw | None  # with `pivot: distinct`
    latents: Sequence[np.ndarray | None] = ()  # of the branches, while their pivots are drawn


class Growth:
    """Grows one RolloutTree per question."""

    def __init__(self, plan: GrowthPlan, questions: Sequence[Question], answer_start: Callable[[Sequence[int]], int | None]):
        """`answer_start` gives the index of the first final-answer token of a response, or None when there is none."""
        self._plan = plan
        self._questions = list(questions)
        self._answer_start = answer_start
        self._trees = [RolloutTree(question=question) for question in self._questions]
        self._expected: dict[str, _Expected] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._drawing: dict[str, _Waiting] = {}  # forks whose next pivot is being drawn, by the id of its request
        self._open = Counter[int]()  # trajectories, sprouts and outcomes that a question still waits for
        self._ended: dict[str, tuple[Trajectory, _Expected]] = {}  # roots that wait for all outcomes
        self.allocation: Allocation | None = None  # under `allocate: by_outcome`, once the outcomes are there

    def start(self) -> list[list[GenerationRequest]]:
        """All root requests, by question. Raises ValueError when a question id occurs twice."""
        branching = self._plan.branching
        self._open.update(range(len(self._questions)) if branching.after_grades else ())
        return [
            [self._expect(f"{question.id}/r{r}", question=number, quota=branching.most_branches) for r in range(branching.roots)]
            for number, question in enumerate(self._questions)
        ]

    def on_generation(self, generation: Generation, engine: int) -> Next:
        """Take what `engine` finished. A trajectory that forks gives a Sprout per fork, a root with `after_grades` not
        yet; a pivot gives the request of its branch and that of the next pivot. Raises KeyError for an id that is not
        expected, StaleTokens for tokens of an older policy than the plan allows."""
        if generation.id in self._drawing:
            return self._on_pivot(generation, engine)
        expected = self._expected.pop(generation.id)
        self._open[expected.question] -= 1
        return Next(sprouts=self._on_trajectory(generation, expected, engine))

    def _on_trajectory(self, generation: Generation, expected: _Expected, engine: int) -> list[Sprout]:
        trajectory = _trajectory(generation, expected, engine, self._plan.oldest)
        self._trees[expected.question].trajectories.append(trajectory)
        if trajectory.parent is None and self._plan.branching.after_grades:
            self._ended[trajectory.id] = trajectory, expected
            return []
        wanted = self._wanted(expected)
        forks = self._draw(trajectory, wanted) if wanted else []
        self._count(trajectory, expected, wanted, len(forks))
        return self._sprouts(trajectory, expected, in_order(forks))

    @property
    def ready(self) -> bool:
        """Whether all roots have ended and wait for `on_outcomes`."""
        return len(self._ended) == len(self._questions) * self._plan.branching.roots > 0

    def roots(self) -> list[RolloutTree]:
        """Once `ready`: the trees, in order, which hold nothing but roots. They are graded before `on_outcomes`."""
        return [self._sorted(number) for number in range(len(self._questions))]

    def on_outcomes(self, profiles: Mapping[str, Profile], past: PastForks) -> list[Sprout]:
        """Once `ready`, with all roots graded: the forks of all roots, in the order of questions.

        `profiles`: I(r;a) along roots, by id, as far as it was measured; `past`: what stands for it where it was not.
        """
        branching, groups = self._plan.branching, [tree.roots for tree in self.roots()]

        def draw(root: Trajectory, most: int, share: float) -> list[Fork]:
            openness = openness_along(root, profiles.get(root.id), past, keep_pivot=branching.pivot == "keep")
            return self._draw(root, most, openness=openness, share=share)

        if branching.allocate == "by_outcome":
            dealt, self.allocation = allocate(groups, draw, branching)
        else:
            drawn = {root.id: draw(root, self._wanted(expected), 1.0) for root, expected in self._ended.values()}
            dealt = {id: Dealt(forks=forks, found=len(forks)) for id, forks in drawn.items()}
        sprouts = [sprout for of in groups for root in of for sprout in self._fork_root(root, dealt.get(root.id))]
        self._open.subtract(range(len(self._questions)))
        self._ended.clear()
        return sprouts

    def on_latents(self, sprout: str, latents: Sequence[np.ndarray | None]) -> list[GenerationRequest]:
        """The branch requests of the sprout with this id, one per latent (None: without z); with `pivot: distinct` that
        of its first pivot."""
        waiting = self._waiting[sprout]
        if len(latents) != len(waiting.quotas):
            raise ValueError(f"{sprout}: {len(latents)} latents for {len(waiting.quotas)} branches")
        del self._waiting[sprout]
        self._open[waiting.question] -= 1
        if waiting.pivots is not None:
            return self._ask_pivot(replace(waiting, latents=latents))
        return [self._branch(waiting, number, latent=z) for number, z in enumerate(latents)]

    def _branch(self, waiting: _Waiting, number: int, **own: Any) -> GenerationRequest:
        shared = {name: getattr(waiting, name) for name in ("question", "level", "parent", "fork", "prefix_ids")}
        return self._expect(f"{waiting.parent}/b{waiting.first + number}", **shared, quota=waiting.quotas[number], **own)

    def _ask_pivot(self, waiting: _Waiting) -> list[GenerationRequest]:
        """The request of a fork's next pivot; none when all are drawn, or what is left is too little to draw from."""
        draw = waiting.pivots
        if not draw.more(self._plan.branching.least_mass):
            self._trees[waiting.question].missing_pivots += draw.wanted - draw.drawn
            return []
        id = f"{waiting.parent}/b{waiting.first + draw.drawn}/pivot"
        self._drawing[id] = waiting
        self._open[waiting.question] += 1
        request = self._request(id, waiting.question, waiting.prefix_ids, self._seed("pivot", id))
        return [replace(request, max_new_tokens=1, excluded=tuple(draw.taken))]

    def _on_pivot(self, pivot: Generation, engine: int) -> Next:
        waiting = self._drawing.pop(pivot.id)
        self._open[waiting.question] -= 1
        number = waiting.pivots.drawn
        waiting.pivots.take(pivot)
        if pivot.status is not Status.FINISHED:
            return Next(requests=[self._branch(waiting, number, latent=waiting.latents[number], pivot=pivot), *self._ask_pivot(waiting)])
        whole = self._branch(waiting, number)
        ended = self.on_generation(replace(pivot, id=whole.id), engine)
        return Next(sprouts=ended.sprouts, requests=self._ask_pivot(waiting))

    @property
    def done(self) -> bool:
        return not (self._expected or self._waiting or self._drawing or self._ended)

    def grown(self, question: int) -> RolloutTree | None:
        """The tree of a question with all of its trajectories, roots first, then branches, by their numbers; None while it grows."""
        return None if self._open[question] else self._sorted(question)

    def _sorted(self, question: int) -> RolloutTree:
        tree = self._trees[question]
        tree.trajectories.sort(key=lambda t: (t.parent is not None, natural_order(t.id)))
        return tree

    def _expect(self, id: str, *, question: int, quota: int, **branch: Any) -> GenerationRequest:
        if id in self._expected:
            raise ValueError(f"question id {self._questions[question].id!r} occurs twice in one step; ids must be unique in the data")
        expected = _Expected(question=question, quota=quota, seed=self._seed("rollout", id), **branch)
        self._expected[id] = expected
        self._open[question] += 1
        known = expected.prefix_ids if expected.pivot is None else np.concatenate([expected.prefix_ids, expected.pivot.token_ids])
        return replace(self._request(id, question, known, expected.seed), latent=expected.latent)

    def _request(self, id: str, question: int, known_ids: np.ndarray, seed: int) -> GenerationRequest:
        """Go on after these response tokens."""
        return GenerationRequest(
            id=id,
            prefix_ids=np.concatenate([self._prompt(question), known_ids]),
            max_new_tokens=self._plan.max_response_tokens - known_ids.size,
            seed=seed,
            temperature=self._plan.temperature,
            top_p=self._plan.top_p,
            top_k=self._plan.top_k,
        )

    def _prompt(self, question: int) -> np.ndarray:
        return np.asarray(self._questions[question].prompt_ids, dtype=np.int32)

    def _seed(self, *what: object) -> int:
        return seeds.derive(*self._plan.seed_path, *what)

    def _wanted(self, expected: _Expected) -> int:
        """Forks that a trajectory is to make."""
        branching = self._plan.branching
        quota = expected.quota if expected.level < branching.levels else 0
        return forks_within(quota, forks=branching.forks, per_fork=branching.per_fork)

    def _fork_root(self, root: Trajectory, dealt: Dealt | None) -> list[Sprout]:
        """The sprouts of a root that waited; None: it was to have no fork."""
        if dealt is None:
            return []
        branching, (_, expected) = self._plan.branching, self._ended[root.id]
        wanted = self._wanted(expected)
        self._count(root, expected, wanted, min(wanted, dealt.found))
        if branching.allocate == "by_outcome":
            expected = replace(expected, quota=len(dealt.forks) * branching.per_fork)
        return self._sprouts(root, expected, in_order(dealt.forks))

    def _count(self, trajectory: Trajectory, expected: _Expected, wanted: int, found: int) -> None:
        """Forks that found no place."""
        tree = self._trees[expected.question]
        tree.missing_forks += wanted - found
        if wanted and not found:
            tree.unforked += trajectory.parent is None
            tree.unforked_branches += trajectory.parent is not None

    def _draw(
        self,
        trajectory: Trajectory,
        most: int,
        *,
        openness: np.ndarray | None = None,
        share: float = 1.0,
    ) -> list[Fork]:
        """In the order drawn. The end token and the last one that leaves room for a continuation are no forks either."""
        answer = self._answer_start(trajectory.response_ids.tolist())
        start = trajectory.prefix_ids.size
        last = start + trajectory.token_ids.size - (trajectory.status is Status.FINISHED)
        return draw_forks(
            trajectory.entropies,
            start=start,
            left=None if trajectory.fork is None else trajectory.fork.position,
            end=min(last if answer is None else answer, self._plan.max_response_tokens - 1),
            most=most,
            config=self._plan.branching,
            rng=np.random.default_rng(self._seed("fork", trajectory.id)),
            openness=openness,
            share=share,
        )

    def _pivots(self, parent: Trajectory, fork: Fork, count: int) -> PivotDraw | None:
        """The draw of `count` pivots beside the parent's own token at the fork; None where pivots are not distinct."""
        if self._plan.branching.pivot != "distinct":
            return None
        own = fork.position - parent.prefix_ids.size
        return PivotDraw.after(int(parent.token_ids[own]), float(parent.logprobs[own]), count)

    def _sprouts(self, parent: Trajectory, expected: _Expected, forks: list[Fork]) -> list[Sprout]:
        """Branch numbers go on from fork to fork, in the order of positions."""
        counts, quotas = divide(expected.quota, forks=len(forks), per_fork=self._plan.branching.per_fork)
        prompt, response = self._prompt(expected.question), parent.response_ids
        sprouts: list[Sprout] = []
        first = 0
        for number, (fork, count) in enumerate(zip(forks, counts, strict=True)):
            id, prefix = f"{parent.id}/b{first}", response[: fork.prefix_length]
            self._waiting[id] = _Waiting(
                question=expected.question,
                level=expected.level + 1,
                parent=parent.id,
                fork=fork,
                prefix_ids=prefix,
                first=first,
                quotas=quotas[first : first + count],
                pivots=self._pivots(parent, fork, count),
            )
            seed = self._seed("latents", parent.id, *([number] if number else []))
            self._open[expected.question] += 1
            sprouts.append(Sprout(id=id, question=expected.question, prefix_ids=np.concatenate([prompt, prefix]), count=count, seed=seed))
            first += count
        return sprouts


def _trajectory(generation: Generation, expected: _Expected, engine: int, oldest: int) -> Trajectory:
    if expected.pivot is not None:
        generation = joined(expected.pivot, generation)
    if (version := min(span.version for span in generation.spans)) < oldest:
        raise StaleTokens(f"{generation.id}: has tokens of policy version {version}, and its step takes none before version {oldest}")
    return Trajectory(
        id=generation.id,
        parent=expected.parent,
        fork=expected.fork,
        latent=expected.latent,
        z_free=int(expected.pivot is not None),
        seed=expected.seed,
        engine=engine,
        prefix_ids=expected.prefix_ids,
        token_ids=generation.token_ids,
        logprobs=generation.logprobs,
        entropies=generation.entropies,
        spans=generation.spans,
        status=generation.status,
        cached_tokens=generation.cached_tokens,
    )
