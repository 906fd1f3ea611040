"""A made-up engine, and trees grown on it."""

import numpy as np

from ib_lpo.branching.config import BranchingConfig
from ib_lpo.branching.growth import Growth, GrowthPlan
from ib_lpo.branching.openness import PastForks, Profile
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
    tokens = rng.permutation(np.setdiff1d(np.arange(10, 99), request.excluded))[:1]
    return Generation(
        id=request.id,
        token_ids=np.concatenate([tokens, rng.integers(10, 99, length - 1)]).astype(np.int32),
        logprobs=-rng.random(length, dtype=np.float32),
        entropies=(rng.random(length) * 2).astype(np.float32),
        status=Status.TRUNCATED if length == request.max_new_tokens else Status.FINISHED,
        spans=tuple(VersionSpan(version=v, start=i, end=i + 1 if v != versions[-1] else length) for i, v in enumerate(versions)),
        cached_tokens=0,
    )


def plan(**branching) -> GrowthPlan:
    config = BranchingConfig(**{"roots": 2, "branches": 3, "pivot": "keep", "floor": 0.2, "top_fraction": 0.2} | branching)
    return GrowthPlan(branching=config, max_response_tokens=MAX, temperature=1.0, top_p=0.9, top_k=40, oldest=1, seed_path=(0, 4, "train"))


def grade(root) -> float | None:
    """A pure function of what was generated; a sixth is unverifiable."""
    return [0.0, 1.0, 1.0, 0.0, 0.5, None][int(root.token_ids.sum()) % 6]


def profiles(trees) -> dict[str, Profile]:
    """Of some roots, the others unmeasured."""
    roots = [root for tree in trees for root in tree.roots if root.seed % 3]
    return {root.id: Profile(at=(0, root.token_ids.size), values=(0.0, float(root.entropies[0]) - 1)) for root in roots}


def judge(growth, reward=grade, past=None):
    """All roots have ended: what they were worth, and the sprouts that follow."""
    assert growth.ready and not growth.done
    trees = growth.roots()
    for root in (root for tree in trees for root in tree.trajectories):
        assert root.parent is None
        root.reward = reward(root)
    sprouts = growth.on_outcomes(profiles(trees), PastForks() if past is None else past)
    assert not growth.ready
    return sprouts


def grow(plan, questions, choose, answer_start=lambda ids: None, reward=grade):
    """Run to the end; `choose(n)` picks which of n possible events happens next. Returns trees and requests."""
    growth = Growth(plan, [question(i) for i in range(questions)], answer_start)
    unjudged = plan.branching.after_grades
    requests = [(q, r) for q, rs in enumerate(growth.start()) for r in rs]
    sprouts, log = [], [r for _, r in requests]
    while requests or sprouts:
        at = choose(len(requests) + len(sprouts))
        if at < len(requests):
            of, request = requests.pop(at)
            follows = growth.on_generation(generate(request), engine=of % 2)
            found, asked = follows.sprouts, follows.requests
            requests += [(of, r) for r in asked]
            log += asked
            assert {sprout.question for sprout in found} <= {of}
            busy = found or of in [q for q, _ in requests] or of in [s.question for s in sprouts]
            assert (growth.grown(of) is None) == bool(busy or unjudged)
            assert growth.ready == (unjudged and not requests)
            if growth.ready:
                found, unjudged = judge(growth, reward), False
                assert all((growth.grown(i) is None) == (i in {s.question for s in found}) for i in range(questions))
            sprouts += found
        else:
            sprout = sprouts.pop(at - len(requests))
            rng = np.random.default_rng(sprout.seed)
            new = growth.on_latents(sprout.id, list(rng.standard_normal((sprout.count, 4), dtype=np.float32)))
            requests += [(sprout.question, r) for r in new]
            log += new
    assert growth.done
    return [growth.grown(i) for i in range(questions)], log
