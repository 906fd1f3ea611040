"""A made-up engine, and trees grown on it."""

import numpy as np

from ib_lpo.branching.config import BranchingConfig
from ib_lpo.branching.growth import Growth, GrowthPlan
from ib_lpo.rollout.request import Generation
from ib_lpo.tree import Question, Status, VersionSpan

MAX = 20


def question(i: int) -> Question:
    ids = {"answer_ids": (5,), "empty_prompt_ids": (7,), "informed_prompt_ids": (7, 8, 5)}
    return Question(id=f"q{i}", text="", answer="", prompt_ids=(7, 8, 9 + i), **ids)


def generate(request, versions=(3,)) -> Generation:
    """A pure function of the request, as a real engine is."""
    rng = np.random.default_rng(request.seed % 2**32)
    length = int(rng.integers(1, request.max_new_tokens + 1))
    return Generation(
        id=request.id,
        token_ids=rng.integers(10, 99, length).astype(np.int32),
        logprobs=-rng.random(length, dtype=np.float32),
        entropies=(rng.random(length) * 2).astype(np.float32),
        status=Status.TRUNCATED if length == request.max_new_tokens else Status.FINISHED,
        spans=tuple(VersionSpan(version=v, start=i, end=i + 1 if v != versions[-1] else length) for i, v in enumerate(versions)),
        cached_tokens=0,
    )


def plan(**branching) -> GrowthPlan:
    config = BranchingConfig(**{"roots": 2, "branches": 3, "floor": 0.2, "top_fraction": 0.2} | branching)
    return GrowthPlan(branching=config, max_response_tokens=MAX, temperature=1.0, top_p=0.9, top_k=40, oldest=1, seed_path=(0, 4, "train"))


def grow(plan, questions, choose, answer_start=lambda ids: None):
    """Run to the end; `choose(n)` picks which of n possible events happens next. Returns trees and requests."""
    growth = Growth(plan, [question(i) for i in range(questions)], answer_start)
    requests = [(q, r) for q, rs in enumerate(growth.start()) for r in rs]
    sprouts, log = [], [r for _, r in requests]
    while requests or sprouts:
        at = choose(len(requests) + len(sprouts))
        if at < len(requests):
            of, request = requests.pop(at)
            found = growth.on_generation(generate(request), engine=of % 2)
            assert {sprout.question for sprout in found} <= {of}
            assert (growth.grown(of) is None) == bool(found or of in [q for q, _ in requests] or of in [s.question for s in sprouts])
            sprouts += found
        else:
            sprout = sprouts.pop(at - len(requests))
            rng = np.random.default_rng(sprout.seed)
            new = growth.on_latents(sprout.id, list(rng.standard_normal((sprout.count, 4), dtype=np.float32)))
            requests += [(sprout.question, r) for r in new]
            log += new
    assert growth.done
    return [growth.grown(i) for i in range(questions)], log
