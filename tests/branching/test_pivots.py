"""`branching.pivot: distinct`, on a made-up policy whose distribution is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.branching.growth import Growth
from ib_lpo.branching.metrics import growth_metrics
from ib_lpo.branching.pivots import PivotDraw, joined
from ib_lpo.rollout.request import Generation
from ib_lpo.tree import Status, VersionSpan
from tests.branching.engine import MAX, plan, question

END = 0


def policy(vocabulary):
    """One distribution for all places; token 0 ends."""
    weights = np.random.default_rng(vocabulary).random(vocabulary) + 0.05
    return weights / weights.sum()


def generate(request, p) -> Generation:
    """A pure function of the request; a request for one token has other versions than the rest."""
    rng = np.random.default_rng(request.seed % 2**32)
    allowed = np.where(np.isin(np.arange(p.size), request.excluded), 0.0, p)
    tokens = []
    while len(tokens) < request.max_new_tokens and (not tokens or tokens[-1] != END):
        tokens.append(int(rng.choice(p.size, p=allowed / allowed.sum())))
    return Generation(
        id=request.id,
        token_ids=np.array(tokens, np.int32),
        logprobs=np.log(p[tokens]).astype(np.float32),
        entropies=np.full(len(tokens), 1.0, np.float32),
        status=Status.FINISHED if tokens[-1] == END else Status.TRUNCATED,
        spans=(VersionSpan(version=5 if request.excluded else 6, start=0, end=len(tokens)),),
        cached_tokens=0,
    )


def grow(p, choose, **branching):
    growth = Growth(plan(**{"pivot": "distinct", "floor": 0.0} | branching), [question(i) for i in range(3)], lambda ids: None)
    waiting, log = [r for of in growth.start() for r in of], []
    while waiting:
        request = waiting.pop(choose(len(waiting)))
        log.append(request)
        follows = growth.on_generation(generate(request, p), engine=0)
        waiting += follows.requests
        for sprout in follows.sprouts:
            waiting += growth.on_latents(sprout.id, [None] * sprout.count)
    assert growth.done
    return [growth.grown(i) for i in range(3)], log


def forks_of(tree):
    """Of every fork: the root, the position and the branches."""
    found = {(b.parent, b.fork.position) for b in tree.trajectories if b.parent is not None}
    named = {t.id: t for t in tree.trajectories}
    return [(named[id], at, [b for b in tree.branches(named[id]) if b.fork.position == at]) for id, at in sorted(found)]


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 9), st.integers(1, 5), st.integers(1, 2), st.integers(0, 2**32))
def test_every_continuation_of_a_fork_begins_with_a_token_of_its_own(vocabulary, branches, forks, seed):
    p, rng = policy(vocabulary), np.random.default_rng(seed)
    trees, log = grow(p, lambda n: int(rng.integers(n)), branches=branches, forks=forks)
    for tree in trees:
        assert sum(len(own) for _, _, own in forks_of(tree)) + tree.missing_pivots == branches * len(forks_of(tree))
        for root, position, own in forks_of(tree):
            first = [int(root.token_ids[position]), *(int(b.token_ids[0]) for b in own)]
            assert len(set(first)) == len(first)
            assert len(own) == branches or 1 - p[first].sum() < 0.02, "a branch is left out only where nothing is left"
            for b in own:
                assert b.prefix_ids.tolist() == root.token_ids[:position].tolist() and b.response_ids.size <= MAX
                np.testing.assert_allclose(b.logprobs, np.log(p[b.token_ids]), rtol=1e-6)
                assert (b.token_ids[-1] == END) == (b.status is Status.FINISHED)
    assert growth_metrics(trees, 16)["grow/missing_pivots"] == sum(tree.missing_pivots for tree in trees)
    seeds = [request.seed for request in log]
    assert len(set(seeds)) == len(seeds)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), st.integers(0, 2**32))
def test_the_trees_do_not_depend_on_the_order_of_events(vocabulary, seed):
    p, rng = policy(vocabulary), np.random.default_rng(seed)
    ordered, _ = grow(p, lambda n: 0, forks=2)
    shuffled, _ = grow(p, lambda n: int(rng.integers(n)), forks=2)
    rows = [[(t.id, t.seed, t.token_ids.tolist()) for tree in trees for t in tree.trajectories] for trees in (ordered, shuffled)]
    assert rows[0] == rows[1]


def test_a_fork_at_which_nothing_but_the_parents_token_is_likely_has_no_branch():
    trees, log = grow(np.array([0.005, 0.99, 0.005]), lambda n: 0, branches=3)
    assert {len(tree.trajectories) for tree in trees} == {2} and {tree.missing_pivots for tree in trees} == {2 * 3}
    assert not any(request.excluded for request in log)


def test_z_acts_behind_the_pivot():
    """Which is drawn without it, and so is a branch that ends with its pivot."""
    p = np.array([0.1, 0.3, 0.25, 0.2, 0.15])
    growth = Growth(plan(pivot="distinct", floor=0.0, roots=8), [question(0)], lambda ids: None)
    waiting, latents = growth.start()[0], {}
    while waiting:
        request = waiting.pop()
        assert (request.latent is None) == (request.id.endswith("/pivot") or "/b" not in request.id)
        follows = growth.on_generation(generate(request, p), engine=0)
        waiting += follows.requests
        for sprout in follows.sprouts:
            drawn = [np.full(2, k, np.float32) for k in range(sprout.count)]
            latents |= {f"{sprout.id.rpartition('/')[0]}/b{k}": z for k, z in enumerate(drawn)}
            waiting += growth.on_latents(sprout.id, drawn)
    branches = [t for t in growth.grown(0).trajectories if t.parent is not None]
    assert len(branches) > 3
    for t in branches:
        alone = t.token_ids.tolist() == [END]
        assert (t.latent is None and t.z_free == 0) if alone else (t.latent is latents[t.id] and t.z_free == 1)


def made(versions, tokens):
    """A generation whose token i is of the i-th version."""
    spans = [VersionSpan(version=v, start=i, end=i + 1) for i, v in enumerate(versions)]
    values = np.arange(len(tokens), dtype=np.float32)
    return Generation(
        id="g", token_ids=np.array(tokens, np.int32), logprobs=-values, entropies=values, status=Status.FINISHED,
        spans=tuple(spans), cached_tokens=4,
    )  # fmt: skip


def test_a_pivot_and_what_follows_become_one_generation():
    whole = joined(made([3], [11]), made([4, 5], [12, 13]))
    assert whole.token_ids.tolist() == [11, 12, 13]
    assert [(s.version, s.start, s.end) for s in whole.spans] == [(3, 0, 1), (4, 1, 2), (5, 2, 3)]
    assert [(s.version, s.start, s.end) for s in joined(made([4], [11]), made([4, 5], [12, 13])).spans] == [(4, 0, 2), (5, 2, 3)]


def test_a_token_that_was_excluded_is_refused():
    draw = PivotDraw.after(11, -1.0, wanted=2)
    with pytest.raises(ValueError, match="token 11 was excluded and yet drawn"):
        draw.take(made([3], [11]))
