"""The growth state machine, driven by a made-up engine in any order of events."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.branching.config import BranchingConfig
from ib_lpo.branching.growth import Growth, GrowthPlan
from ib_lpo.rollout.request import Generation, VersionSpan
from ib_lpo.tree import Question, Status

MAX = 20


def question(i):
    return Question(id=f"q{i}", text="", answer="", prompt_ids=(7, 8, 9 + i), answer_ids=())


def generate(request, versions=(3,)):
    """A pure function of the request, as a real engine is."""
    rng = np.random.default_rng(request.seed % 2**32)
    length = int(rng.integers(1, request.max_new_tokens + 1))
    return Generation(
        id=request.id,
        token_ids=rng.integers(10, 99, length).astype(np.int32),
        logprobs=-rng.random(length, dtype=np.float32),
        entropies=(rng.random(length) * 2).astype(np.float32),
        status=Status.TRUNCATED if length == request.max_new_tokens else Status.FINISHED,
        spans=tuple(VersionSpan(version=v, start=0, end=length) for v in versions),
        cached_tokens=0,
    )


def plan(**branching):
    config = BranchingConfig(**{"roots": 2, "branches": 3, "floor": 0.2, "top_fraction": 0.2} | branching)
    return GrowthPlan(branching=config, max_response_tokens=MAX, temperature=1.0, top_p=0.9, top_k=40, engines=2, seed_path=(0, 4, "train"))


def no_answer(ids):
    return None


def grow(plan, questions, choose, answer_start=no_answer):
    """Run to the end; `choose(n)` picks which of n possible events happens next."""
    growth = Growth(plan, [question(i) for i in range(questions)], answer_start)
    requests = [(e, r) for e, rs in growth.start().items() for r in rs]
    sprouts, log = [], list(requests)
    while requests or sprouts:
        at = choose(len(requests) + len(sprouts))
        if at < len(requests):
            sprout = growth.on_generation(generate(requests.pop(at)[1]))
            sprouts += [] if sprout is None else [sprout]
        else:
            sprout = sprouts.pop(at - len(requests))
            new = growth.on_latents(sprout.root, [np.full(4, k, np.float32) for k in range(sprout.count)])
            requests += [(sprout.engine, r) for r in new]
            log += [(sprout.engine, r) for r in new]
    assert growth.done
    return growth.trees(), log


@settings(max_examples=60)
@given(st.data(), st.integers(1, 4))
def test_the_trees_do_not_depend_on_the_order_of_events(data, questions):
    def rows(trees):
        return [(t.id, t.seed, t.token_ids.tolist(), t.prefix_ids.tolist()) for tree in trees for t in tree.trajectories]

    ordered, _ = grow(plan(), questions, lambda n: 0)
    shuffled, _ = grow(plan(), questions, lambda n: data.draw(st.integers(0, n - 1)))
    assert rows(ordered) == rows(shuffled)


@settings(max_examples=40)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(0, 4))
def test_every_root_is_forked_or_counted_and_branches_continue_their_root(questions, roots, branches):
    trees, log = grow(plan(roots=roots, branches=branches), questions, lambda n: n - 1)
    for tree in trees:
        assert [t.id for t in tree.roots] == [f"{tree.question.id}/r{r}" for r in range(roots)]
        forked = 0
        for root in tree.roots:
            children = tree.branches(root)
            assert len(children) in (0, branches)
            forked += bool(children)
            for child in children:
                assert child.engine == root.engine
                np.testing.assert_array_equal(child.prefix_ids, root.token_ids[: child.fork.prefix_length])
                assert child.response_ids.size <= MAX
                assert child.fork.entropy == root.entropies[child.fork.position]
        assert branches == 0 or forked + tree.unforked == roots
    engine_of = {}
    for engine, request in log:
        assert engine_of.setdefault(request.id.split("/")[0], engine) == engine
        assert request.max_new_tokens >= 1
        assert (request.temperature, request.top_p, request.top_k) == (1.0, 0.9, 40)
    seeds = [request.seed for _, request in log]
    assert len(set(seeds)) == len(seeds)


def test_the_answer_span_and_the_end_token_are_never_forks():
    trees, _ = grow(plan(top_fraction=1.0, floor=0.0), 12, lambda n: 0, answer_start=lambda ids: max(0, len(ids) - 4))
    forks = [(t.fork.position, len(root.token_ids)) for tree in trees for root in tree.roots for t in tree.branches(root)]
    assert forks
    assert all(position < length - 4 for position, length in forks)


def test_mixed_versions_in_one_rollout_are_an_error():
    growth = Growth(plan(), [question(0)], no_answer)
    request = growth.start()[0][0]
    with pytest.raises(RuntimeError, match=r"versions \[1, 2\]"):
        growth.on_generation(generate(request, versions=(1, 2)))


def test_repeated_question_ids_and_early_trees_are_errors():
    with pytest.raises(ValueError, match="'q0' occurs twice"):
        Growth(plan(), [question(0), question(0)], no_answer).start()
    growth = Growth(plan(), [question(0)], no_answer)
    growth.start()
    with pytest.raises(RuntimeError, match="still growing"):
        growth.trees()
