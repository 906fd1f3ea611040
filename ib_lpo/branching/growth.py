"""The growth of a step's rollout trees, as a pure state machine: no Ray, no vLLM, no clock.

    roots ──on_generation──► fork? ──Sprout──► on_latents ──► branches ──on_generation──► done
                              └─ no candidate: counted, not forked

Events come in, requests come out. Invariants: every question belongs to one engine, so a branch always goes to the engine that holds
its prefix; a branch is requested as soon as its root's latents are there, whatever the other roots do; every seed is a
function of (run seed, step, purpose, trajectory), so a re-issued request gives the same tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ib_lpo import seeds
from ib_lpo.branching.config import BranchingConfig
from ib_lpo.branching.fork import select_fork
from ib_lpo.rollout.request import Generation, GenerationRequest
from ib_lpo.tree import Fork, Question, RolloutTree, Status, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthPlan:
    """What to grow in one step."""

    branching: BranchingConfig
    max_response_tokens: int
    temperature: float
    top_p: float
    top_k: int | None
    engines: int
    seed_path: tuple[object, ...]  # (run seed, step, purpose)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sprout:
    """A fork that waits for its latents."""

    root: str  # trajectory id
    engine: int
    prefix_ids: np.ndarray  # int32, prompt and shared response tokens: the condition c of p(z|c)
    count: int  # K
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expected:
    """A trajectory that is being generated."""

    question: int
    engine: int
    seed: int
    parent: str | None = None
    fork: Fork | None = None
    latent: np.ndarray | None = None
    prefix_ids: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))  # response tokens shared with the root


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """A fork whose latents are being drawn."""

    sprout: Sprout
    fork: Fork
    root: Trajectory
    question: int


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

    def start(self) -> dict[int, list[GenerationRequest]]:
        """All root requests, by engine. Raises ValueError when a question id occurs twice."""
        requests: dict[int, list[GenerationRequest]] = {e: [] for e in range(self._plan.engines)}
        for number, question in enumerate(self._questions):
            engine = number % self._plan.engines
            requests[engine] += [
                self._expect(f"{question.id}/r{r}", question=number, engine=engine) for r in range(self._plan.branching.roots)
            ]
        return requests

    def on_generation(self, generation: Generation) -> Sprout | None:
        """Take a finished trajectory; a root that forks gives a Sprout. Raises KeyError for an id that is not expected."""
        expected = self._expected.pop(generation.id)
        trajectory = _trajectory(generation, expected)
        tree = self._trees[expected.question]
        tree.trajectories.append(trajectory)
        if expected.parent is not None or self._plan.branching.branches == 0:
            return None
        fork = self._fork(trajectory)
        if fork is None:
            tree.unforked += 1
            return None
        prefix = np.concatenate([self._prompt(expected.question), trajectory.token_ids[: fork.prefix_length]])
        seed = self._seed("latents", trajectory.id)
        sprout = Sprout(root=trajectory.id, engine=expected.engine, prefix_ids=prefix, count=self._plan.branching.branches, seed=seed)
        self._waiting[trajectory.id] = _Waiting(sprout=sprout, fork=fork, root=trajectory, question=expected.question)
        return sprout

    def on_latents(self, root: str, latents: Sequence[np.ndarray | None]) -> list[GenerationRequest]:
        """The branch requests of a sprout, one per latent (None: without z), for the sprout's engine."""
        waiting = self._waiting.pop(root)
        sprout, shared = waiting.sprout, waiting.root.token_ids[: waiting.fork.prefix_length]
        if len(latents) != sprout.count:
            raise ValueError(f"{root}: {len(latents)} latents for {sprout.count} branches")
        branch = {"question": waiting.question, "engine": sprout.engine, "parent": root, "fork": waiting.fork, "prefix_ids": shared}
        return [self._expect(f"{root}/b{k}", **branch, latent=z) for k, z in enumerate(latents)]

    @property
    def done(self) -> bool:
        return not self._expected and not self._waiting

    def trees(self) -> list[RolloutTree]:
        """The grown trees, trajectories ordered by id: roots first, each kind by number. Raises RuntimeError before the end."""
        if not self.done:
            raise RuntimeError(f"still growing: {', '.join([*self._expected, *self._waiting][:5])} …")
        for tree in self._trees:
            tree.trajectories.sort(key=lambda t: (t.parent is not None, len(t.id), t.id))
        return self._trees

    def _expect(self, id: str, *, question: int, engine: int, **branch: Any) -> GenerationRequest:
        if id in self._expected:
            raise ValueError(f"question id {self._questions[question].id!r} occurs twice in one step; ids must be unique in the data")
        expected = _Expected(question=question, engine=engine, seed=self._seed("rollout", id), **branch)
        self._expected[id] = expected
        return GenerationRequest(
            id=id,
            prefix_ids=np.concatenate([self._prompt(question), expected.prefix_ids]),
            max_new_tokens=self._plan.max_response_tokens - expected.prefix_ids.size,
            seed=expected.seed,
            temperature=self._plan.temperature,
            top_p=self._plan.top_p,
            top_k=self._plan.top_k,
            latent=expected.latent,
        )

    def _prompt(self, question: int) -> np.ndarray:
        return np.asarray(self._questions[question].prompt_ids, dtype=np.int32)

    def _seed(self, *what: object) -> int:
        return seeds.derive(*self._plan.seed_path, *what)

    def _fork(self, root: Trajectory) -> Fork | None:
        """The end token and the last token that leaves room for a continuation are no forks either."""
        answer = self._answer_start(root.token_ids.tolist())
        last = root.token_ids.size - (root.status is Status.FINISHED)
        end = min(last if answer is None else answer, self._plan.max_response_tokens - 1)
        rng = np.random.default_rng(self._seed("fork", root.id))
        return select_fork(root.entropies, end=end, config=self._plan.branching, rng=rng)


def _trajectory(generation: Generation, expected: _Expected) -> Trajectory:
    versions = {span.version for span in generation.spans}
    if len(versions) != 1:
        raise RuntimeError(f"{generation.id}: tokens of policy versions {sorted(versions)} in one synchronous rollout")
    return Trajectory(
        id=generation.id,
        parent=expected.parent,
        fork=expected.fork,
        latent=expected.latent,
        seed=expected.seed,
        engine=expected.engine,
        prefix_ids=expected.prefix_ids,
        token_ids=generation.token_ids,
        logprobs=generation.logprobs,
        entropies=generation.entropies,
        version=versions.pop(),
        status=generation.status,
        cached_tokens=generation.cached_tokens,
    )


def growth_metrics(trees: list[RolloutTree], block_size: int) -> dict[str, float]:
    """Counts and means over a step's trees, under `grow/`; entropies in nats, lengths in tokens."""
    trajectories = [t for tree in trees for t in tree.trajectories]
    branches = [(len(tree.question.prompt_ids) + t.prefix_ids.size, t) for tree in trees for t in tree.trajectories if t.parent]
    owed = [(length - 1) // block_size * block_size for length, _ in branches]
    entropies = np.concatenate([t.entropies for t in trajectories])
    return {
        "grow/roots": len(trajectories) - len(branches),
        "grow/branches": len(branches),
        "grow/forks": len({t.parent for _, t in branches}),
        "grow/unforked": sum(tree.unforked for tree in trees),
        "grow/tokens": int(entropies.size),
        "grow/entropy": float(entropies.mean()),
        "grow/fork_entropy": float(np.mean([t.fork.entropy for _, t in branches])) if branches else 0.0,
        "grow/response_tokens": float(np.mean([t.response_ids.size for t in trajectories])),
        "grow/truncated": float(np.mean([t.status is Status.TRUNCATED for t in trajectories])),
        "grow/cached_share": sum(t.cached_tokens for _, t in branches) / max(1, sum(length for length, _ in branches)),
        "grow/cache_misses": sum(t.cached_tokens < least for (_, t), least in zip(branches, owed, strict=True)),
    }
