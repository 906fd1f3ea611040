"""The growth state machine, driven by a made-up engine in any order of events."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.branching.config import BranchingConfig
from ib_lpo.branching.growth import Growth, StaleTokens
from ib_lpo.branching.metrics import growth_metrics
from ib_lpo.branching.openness import PastForks, Profile
from ib_lpo.tree import RolloutTree
from tests.branching.engine import MAX, generate, grow, plan, question

DEEP = {"depth": 2, "forks": 2, "budget": 30, "floor": 0.0}
CHAIN = {"mode": "chained", "floor": 0.0}
SHAPES = st.fixed_dictionaries(
    {
        "roots": st.integers(1, 3),
        "branches": st.integers(0, 4),
        "forks": st.integers(1, 3),
        "depth": st.integers(1, 3),
        "budget": st.integers(1, 25),
        "select": st.sampled_from(["top_entropy", "argmax", "random", "open_entropy"]),
        "min_distance": st.integers(1, 4),
        "pivot": st.sampled_from(["keep", "resample"]),
        "floor": st.sampled_from([0.0, 0.8]),
        "top_fraction": st.sampled_from([0.2, 1.0]),
    }
) | st.fixed_dictionaries({"mode": st.just("chained"), "branches": st.integers(0, 4), "floor": st.sampled_from([0.0, 0.8])})

BY_OUTCOME = st.fixed_dictionaries(
    {
        "allocate": st.just("by_outcome"),
        "roots": st.integers(1, 4),
        "branches": st.integers(1, 4),
        "forks": st.integers(1, 3),
        "most_forks": st.integers(1, 4),
        "early_share": st.sampled_from([0.2, 0.5, 1.0]),
        "select": st.sampled_from(["top_entropy", "argmax", "random", "open_entropy"]),
        "min_distance": st.integers(1, 4),
        "pivot": st.sampled_from(["keep", "resample"]),
        "floor": st.sampled_from([0.0, 0.8]),
        "top_fraction": st.sampled_from([0.2, 1.0]),
    }
)


def rows(trees):
    return [(t.id, t.parent, t.seed, t.token_ids.tolist(), t.prefix_ids.tolist(), t.fork) for tree in trees for t in tree.trajectories]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), SHAPES | BY_OUTCOME)
def test_the_trees_do_not_depend_on_the_order_of_events(seed, questions, shape):
    rng = np.random.default_rng(seed)
    ordered, _ = grow(plan(**shape), questions, lambda n: 0)
    shuffled, _ = grow(plan(**shape), questions, lambda n: int(rng.integers(n)))
    assert rows(ordered) == rows(shuffled)


def levels(tree):
    return {id: len(lineage) - 1 for id, lineage in tree.lineages().items()}


def check_branch(tree, parent, child, config):
    fork = child.fork
    own = fork.position - parent.prefix_ids.size
    assert child.engine == parent.engine == int(tree.question.id[1:]) % 2
    np.testing.assert_array_equal(child.prefix_ids, parent.response_ids[: fork.prefix_length])
    assert 0 <= own < parent.token_ids.size and fork.entropy == parent.entropies[own]
    assert child.prefix_ids.size > parent.prefix_ids.size, "it holds a token that the parent owns"
    assert child.response_ids.size <= MAX
    assert fork.position >= 1
    assert parent.fork is None or fork.position - parent.fork.position >= config.min_distance


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 4), SHAPES | BY_OUTCOME)
def test_branches_continue_their_parents_within_depth_and_budget(questions, shape):
    config = plan(**shape).branching
    trees, log = grow(plan(**shape), questions, lambda n: n - 1)
    for tree in trees:
        assert [t.id for t in tree.roots] == [f"{tree.question.id}/r{r}" for r in range(config.roots)]
        assert tree.trajectories[: config.roots] == tree.roots
        roots = [lineage[-1] for lineage in tree.lineages().values()]
        assert all(roots.count(root.id) - 1 <= config.most_branches for root in tree.roots)
        assert max(levels(tree).values()) <= config.levels
        for parent in tree.trajectories:
            children = tree.branches(parent)
            assert [c.id for c in children] == [f"{parent.id}/b{k}" for k in range(len(children))]
            positions = [c.fork.position for c in children]
            places = sorted(set(positions))
            assert positions == sorted(positions) and len(places) <= (config.forks if parent.parent else config.forks_of_a_root)
            assert all(b - a >= config.min_distance for a, b in pairwise(places))
            assert all(positions.count(place) == config.per_fork for place in places[:-1])
            assert not places or 1 <= positions.count(places[-1]) <= config.per_fork
            for child in children:
                check_branch(tree, parent, child, config)
    check_requests(log)


def check_requests(log):
    for request in log:
        assert request.max_new_tokens >= 1
        assert request.prefix_ids.size - 3 + request.max_new_tokens == MAX
        assert (request.temperature, request.top_p, request.top_k) == (1.0, 0.9, 40)
    seeds = [request.seed for request in log]
    assert len(set(seeds)) == len(seeds)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(0, 4))
def test_every_root_is_forked_or_counted(questions, roots, branches):
    trees, _ = grow(plan(roots=roots, branches=branches), questions, lambda n: n - 1)
    for tree in trees:
        families = [tree.branches(root) for root in tree.roots]
        assert all(len(family) in (0, branches) for family in families)
        assert branches == 0 or sum(map(bool, families)) + tree.unforked == roots
        assert tree.missing_forks == tree.unforked and tree.unforked_branches == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), SHAPES)
def test_a_fork_that_the_budget_holds_is_made_or_counted(questions, shape):
    """A budget is used up, unless a trajectory had no candidate for a fork of its own."""
    trees, _ = grow(plan(**shape), questions, lambda n: n - 1)
    config = plan(**shape).branching
    for tree in trees:
        short = len(tree.roots) * config.most_branches - (len(tree.trajectories) - len(tree.roots))
        assert short == 0 or tree.missing_forks > 0
        assert tree.missing_forks >= tree.unforked + tree.unforked_branches


def reserved(tree, config):
    """What the forks of a tree reserve: each branch what its parent generated after the shared prefix."""
    named = {t.id: t for t in tree.trajectories}
    return sum(named[t.parent].response_ids.size - t.prefix_ids.size for t in tree.trajectories if t.parent)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 5), BY_OUTCOME)
def test_by_outcome_keeps_to_the_tokens_of_uniform_and_leaves_alone_what_is_right(questions, shape):
    uniform, _ = grow(plan(**shape | {"allocate": "uniform"}), questions, lambda n: 0)
    dealt, _ = grow(plan(**shape), questions, lambda n: n - 1)
    config = plan(**shape).branching
    assert sum(reserved(tree, config) for tree in dealt) <= sum(reserved(tree, config) for tree in uniform)
    for tree, before in zip(dealt, uniform, strict=True):
        assert rows([RolloutTree(question=tree.question, trajectories=tree.roots)]) == rows(
            [RolloutTree(question=tree.question, trajectories=before.roots)]
        )
        known = {root.reward for root in tree.roots} - {None}
        for root in tree.roots:
            own, was = tree.branches(root), before.branches(root)
            assert len(own) % config.branches == 0
            if known == {1.0} or (root.reward is None and known):
                assert own == []
            elif len(known) != 1 and config.most_forks <= config.forks:  # what is drawn first is what uniform draws
                assert {b.fork.position for b in own} <= {b.fork.position for b in was}
        assert known != {1.0} or tree.missing_forks == tree.unforked == 0


@pytest.mark.parametrize("reward", [1.0, None, 0.0])
@pytest.mark.parametrize("shape", [{"allocate": "by_outcome"}, {"select": "open_entropy"}, {"allocate": "by_outcome", "floor": 99}])
def test_a_batch_that_waits_for_its_grades_ends_whatever_they_are(shape, reward):
    trees, _ = grow(plan(**shape), 3, lambda n: 0, reward=lambda root: reward)
    branches = sum(len(tree.trajectories) - len(tree.roots) for tree in trees)
    assert (branches == 0) == (shape.get("floor") == 99 or ("allocate" in shape and reward == 1.0))
    assert [len(tree.roots) for tree in trees] == [2] * 3


def test_an_empty_batch_waits_for_no_grades():
    growth = Growth(plan(allocate="by_outcome"), [], lambda ids: None)
    assert growth.start() == [] and growth.done and not growth.ready and growth.allocation is None


def test_all_wrong_questions_fork_early():
    shape = {"allocate": "by_outcome", "select": "random", "early_share": 0.25, "most_forks": 4, "branches": 1}
    trees, _ = grow(plan(**shape), 20, lambda n: 0, reward=lambda root: 0.0)
    forks = [(t.fork.position, parent.token_ids.size) for tree in trees for parent in tree.roots for t in tree.branches(parent)]
    assert len(forks) > 20
    assert all(position <= np.ceil(0.25 * (length - 1)) for position, length in forks)


def test_roots_fork_where_they_are_open():
    """Every profile has one step, in the middle: what a wrong root loses there and a right one gains is open before it
    alone."""
    shape = {"select": "open_entropy", "floor": 0.0, "top_fraction": 0.1, "roots": 1}
    growth = Growth(plan(**shape), [question(i) for i in range(60)], lambda ids: None)
    for requests in growth.start():
        growth.on_generation(generate(requests[0]), engine=0)
    measured = {}
    for number, tree in enumerate(growth.roots()):
        (root,) = tree.roots
        root.reward = float(number % 2)
        length, end = root.token_ids.size, 9.0 if number % 2 else -9.0
        if length >= 6:
            measured[root.id] = Profile(at=(0, length // 2, length // 2 + 1, length), values=(0.0, 0.0, end, end))
    sprouts = growth.on_outcomes(measured, PastForks())
    shared = {sprout.id.removesuffix("/b0"): sprout.prefix_ids.size - 3 for sprout in sprouts}
    early = [shared[id] <= one.at[1] for id, one in measured.items() if id in shared]
    assert len(early) > 20 and np.mean(early) > 0.95


def test_a_root_that_finds_fewer_forks_hands_its_budget_down():
    """Its branches then have more to give, up to what their own forks hold."""
    trees, _ = grow(plan(roots=1, branches=2, depth=2, forks=3, budget=8, min_distance=6, floor=0.0, top_fraction=1.0), 80, lambda n: 0)
    made = [list(levels(tree).values()) for tree in trees]
    assert {(of.count(1), of.count(2)) for of in made} >= {(6, 2), (4, 4)}, "of three forks and of two"
    assert max(of.count(2) for of in made if of.count(1) == 2) > 2, "of one fork"


def test_a_chain_is_one_branch_per_level():
    trees, _ = grow(plan(**CHAIN), 12, lambda n: 0)
    chains = [
        [t.id.removeprefix(root.id) for t in tree.trajectories if t.id.startswith(f"{root.id}/")] for tree in trees for root in tree.roots
    ]
    assert ["/b0", "/b0/b0", "/b0/b0/b0"] in chains
    assert all(chain == ["/b0", "/b0/b0", "/b0/b0/b0"][: len(chain)] for chain in chains)


def test_seeds_and_ids_of_one_fork_per_root_stay_what_they_were():
    """Derived from (run seed, step, purpose, "fork" or "latents" or "rollout", id): recorded trees can be grown again."""
    once, _ = grow(plan(), 3, lambda n: 0)
    deep, _ = grow(plan(depth=2, budget=40), 3, lambda n: 0)
    shallow = [row for row in rows(deep) if row[0].count("/") <= 2]
    assert rows(once) == shallow
    assert {t.id.rsplit("/")[-1] for tree in once for t in tree.trajectories if t.parent} == {"b0", "b1", "b2"}
    assert len(rows(deep)) > len(shallow)


def test_the_latents_of_every_fork_have_a_seed_of_their_own():
    growth, found = Growth(plan(**DEEP), [question(0)], lambda ids: None), []
    waiting = growth.start()[0]
    while waiting:
        for sprout in growth.on_generation(generate(waiting.pop()), engine=0).sprouts:
            found.append(sprout)
            with pytest.raises(ValueError, match=rf"{sprout.id}: 0 latents for {sprout.count} branches"):
                growth.on_latents(sprout.id, [])
            waiting += growth.on_latents(sprout.id, [None] * sprout.count)
    assert len(found) > 4
    assert len({s.seed for s in found}) == len({s.id for s in found}) == len(found)


@pytest.mark.parametrize("shape", [{}, DEEP, CHAIN], ids=["tree", "deep", "chain"])
def test_the_answer_span_and_the_end_token_are_never_forks(shape):
    asked = []

    def answer_start(ids):
        asked.append(tuple(ids))
        return max(0, len(ids) - 4)

    trees, _ = grow(plan(**shape | {"top_fraction": 1.0, "floor": 0.0}), 12, lambda n: 0, answer_start)
    forks = [(t.fork.position, p.response_ids.size) for tree in trees for p in tree.trajectories for t in tree.branches(p)]
    assert forks
    assert all(position < length - 4 for position, length in forks)
    assert set(asked) <= {tuple(t.response_ids.tolist()) for tree in trees for t in tree.trajectories}, "looked for in whole responses"


def test_tokens_of_too_old_a_policy_are_an_error():
    growth = Growth(plan(), [question(0)], lambda ids: None)
    first, second = growth.start()[0]
    growth.on_generation(generate(first, versions=(1, 2)), engine=0)
    with pytest.raises(StaleTokens, match="version 0, and its step takes none before version 1"):
        growth.on_generation(generate(second, versions=(0, 1)), engine=0)


def test_repeated_question_ids_are_an_error_and_a_tree_is_there_when_it_is_grown():
    with pytest.raises(ValueError, match="'q0' occurs twice"):
        Growth(plan(), [question(0), question(0)], lambda ids: None).start()
    growth = Growth(plan(), [question(0)], lambda ids: None)
    growth.start()
    assert growth.grown(0) is None and not growth.done


def test_metrics_count_forks_levels_and_what_is_missing():
    trees, _ = grow(plan(**DEEP), 6, lambda n: 0)
    metrics = growth_metrics(trees, block_size=4)
    everyone = [(tree, t) for tree in trees for t in tree.trajectories]
    depths = [depth for tree in trees for depth in levels(tree).values() if depth]
    assert metrics["grow/roots"] + metrics["grow/branches"] == len(everyone)
    assert metrics["grow/forks"] == len({(t.parent, t.prefix_ids.size) for _, t in everyone if t.parent})
    assert (metrics["grow/depth"], metrics["grow/mean_depth"]) == (2, np.mean(depths))
    assert metrics["grow/missing_forks"] == sum(tree.missing_forks for tree in trees) > 0
    assert metrics["grow/unforked_branches"] == sum(tree.unforked_branches for tree in trees) > 0


def test_repetition_is_the_mean_share_over_whole_responses():
    """A branch that goes on repeating what its prefix repeated; a response without a whole 4-gram has none."""
    (tree, *_), _ = grow(plan(**DEEP), 1, lambda n: 0)
    root, branch = tree.roots[0], next(t for t in tree.trajectories if t.parent)
    responses = {"loop": ([], [1, 2] * 5), "goes on": ([1, 2, 1, 2, 1, 2], [1, 2, 3, 4]), "short": ([], [7, 7, 7]), "none": ([], range(9))}
    trajectories = [
        replace(branch if prefix else root, id=id, prefix_ids=np.array(prefix, np.int32), token_ids=np.array(own, np.int32))
        for id, (prefix, own) in responses.items()
    ]
    trajectories[1].parent = "loop"
    metrics = growth_metrics([RolloutTree(question=tree.question, trajectories=trajectories)], block_size=4)
    assert metrics["grow/repeated_4grams"] == pytest.approx(np.mean([5 / 10, 3 / 10, 0, 0]))


def with_cache(tree: RolloutTree, cached: dict[str, int], latent: bool) -> RolloutTree:
    z = np.zeros(2, np.float32) if latent else None
    grown = [replace(t, cached_tokens=cached.get(t.id, 99), latent=z if t.parent else None) for t in tree.trajectories]
    return RolloutTree(question=tree.question, trajectories=grown)


def test_a_branch_of_a_branch_with_z_finds_what_was_computed_without():
    """Blocks of 4. Its parent's own tokens stand in the cache under the parent's z alone."""
    trees, _ = grow(plan(**CHAIN), 30, lambda n: 0)
    tree, deep = next((tree, t) for tree in trees for t in tree.trajectories if t.id.endswith("b0/b0") and t.prefix_ids.size >= 9)
    parent = next(t for t in tree.trajectories if t.id == deep.parent)
    whole, free = ((3 + size - 1) // 4 * 4 for size in (deep.prefix_ids.size, parent.prefix_ids.size))
    for latent, owed in ((False, whole), (True, free)):
        for found, misses in ((owed, 0), (owed - 1, 1)):
            assert growth_metrics([with_cache(tree, {deep.id: found}, latent)], block_size=4)["grow/cache_misses"] == misses


def test_plain_samples_have_no_branches():
    """The held-out check: a tree's settings with K = 0."""
    for shape in ({}, DEEP, CHAIN):
        config = BranchingConfig(**shape).model_copy(update={"branches": 0, "roots": 2})
        trees, _ = grow(replace(plan(), branching=config), 2, lambda n: 0)
        assert [len(tree.trajectories) for tree in trees] == [2, 2]
        assert sum(tree.unforked + tree.missing_forks for tree in trees) == 0
