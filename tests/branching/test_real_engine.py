"""Trees of two levels and chains, grown on a real engine: what it reports is what a reference and the learner compute from the tree alone.

The tokens of a branch were sampled under its z; as the prefix of a deeper branch they must be computed without.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ib_lpo.branching.config import BranchingConfig
from ib_lpo.branching.growth import Growth, GrowthPlan
from ib_lpo.branching.metrics import growth_metrics
from ib_lpo.learner.batch import Planting, sequences
from ib_lpo.learner.model import PolicyModule
from ib_lpo.policy.forest import Path, plant
from ib_lpo.policy.packed_attention import install
from ib_lpo.tree import Question, RolloutTree
from tests.rollout.serving import BLOCK, DIM, TEMPERATURE, policy, prompts, request, serve

pytestmark = pytest.mark.slow

SHAPES = {
    "two levels": {"pivot": "keep", "depth": 2, "forks": 2, "branches": 2, "budget": 12},
    "chained": {"pivot": "keep", "mode": "chained", "branches": 3},
}
SHAPES |= {"distinct pivots": SHAPES["two levels"] | {"pivot": "distinct"}}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    latent = {"psa": {"k_slots": 2, "layers": [0, 2], "gate": "exponential", "tau": 12.0}}
    served = serve(tmp_path_factory.mktemp("policy"), "qwen3", latent=latent)
    yield served
    served.engine.close()


@pytest.fixture(scope="module", params=SHAPES)
def trees(request, served) -> list[RolloutTree]:
    config = BranchingConfig(**SHAPES[request.param], select="random", min_distance=4)
    plan = GrowthPlan(
        branching=config,
        max_response_tokens=60,
        temperature=TEMPERATURE,
        top_p=1.0,
        top_k=None,
        oldest=0,
        seed_path=(0, 1, "train"),
    )
    ids = [tuple(prompt.tolist()) for prompt in prompts((5, 40))]
    growth = Growth(
        plan, [Question(id=f"q{i}", text="", answer="", prompt_ids=p, answer_ids=()) for i, p in enumerate(ids)], lambda ids: None
    )
    waiting = [request for of in growth.start() for request in of]
    while not growth.done:
        finished, waiting = served.engine.advance(waiting), []
        follows = [growth.on_generation(generation, engine=0) for generation in finished]
        waiting += [request for of in follows for request in of.requests]
        for sprout in [sprout for of in follows for sprout in of.sprouts]:
            z = np.random.default_rng(sprout.seed).standard_normal((sprout.count, DIM), dtype=np.float32)
            waiting += growth.on_latents(sprout.id, list(z))
    return [growth.grown(i) for i in range(len(ids))]


def owned(tree, trajectory):
    """What the engine was asked for under z, from the tree alone: a pivot that was drawn without stands before it."""
    known = [np.array(tree.question.prompt_ids, np.int32), trajectory.prefix_ids, trajectory.token_ids[: trajectory.z_free]]
    return request(trajectory.id, np.concatenate(known), latent=trajectory.latent)


def under_z(trajectory):
    """The rest of it."""
    first = trajectory.z_free
    return replace(
        trajectory,
        token_ids=trajectory.token_ids[first:],
        logprobs=trajectory.logprobs[first:],
        entropies=trajectory.entropies[first:],
    )


def test_the_tree_is_deep_and_its_prefixes_come_from_the_cache(trees):
    metrics = growth_metrics(trees, BLOCK)
    assert metrics["grow/depth"] >= 2 and metrics["grow/branches"] >= 8
    assert metrics["grow/cache_misses"] == 0 < metrics["grow/cached_share"]


def test_every_trajectory_matches_the_reference_under_its_own_z_alone(served, trees):
    for tree in trees:
        for t in tree.trajectories:
            assert max(served.errors(owned(tree, t), under_z(t))) < 1e-4, t.id


@pytest.fixture(scope="module")
def learner(served):
    base = policy(served.model.config.model_type)
    install(base, served.maps.shape)
    return PolicyModule(base, served.maps, served.manifest.latent.psa, temperature=TEMPERATURE, chunk=16)


def test_the_learner_computes_the_same_log_probs_from_the_packed_tree(learner, trees):
    for tree in trees:
        planting = Planting(share=True, latents=True, conditioned=True)
        for t in tree.trajectories:
            t.advantage, t.reward = 0.0, 0.0
        paths = planting.trained(sequences([tree]))
        with torch.no_grad():
            logprobs, _ = learner(plant(paths, share=True))
        reported = torch.from_numpy(np.concatenate([t.logprobs for t in tree.trajectories]))
        assert float((logprobs - reported).abs().max()) < 1e-4


def test_pivots_are_distinct_and_drawn_without_z(trees, request):
    pivots = [t for tree in trees for t in tree.trajectories if t.z_free]
    assert bool(pivots) == ("distinct" in request.node.callspec.id)
    for tree in trees:
        for t in tree.trajectories:
            if t.z_free:
                beside = [b for b in tree.branches(named(tree, t.parent)) if b.fork == t.fork and b is not t]
                taken = [named(tree, t.parent).response_ids[t.fork.position], *(b.token_ids[0] for b in beside)]
                assert t.token_ids[0] not in taken


def named(tree, id):
    return next(t for t in tree.trajectories if t.id == id)


def test_a_prefix_with_z_would_give_other_numbers(learner, trees):
    """Otherwise the tests above could not fail. Here z begins where the parent's own tokens do."""
    tree, deep = next((tree, t) for tree in trees for t in tree.trajectories if t.id.count("/b") > 1)
    parent = next(t for t in tree.trajectories if t.id == deep.parent)
    ids = np.concatenate([owned(tree, deep).prefix_ids, deep.token_ids])
    path = Path(ids=ids, start=len(owned(tree, parent).prefix_ids), latent=deep.latent)
    with torch.no_grad():
        logprobs, _ = learner(plant([path], share=True))
    assert float((logprobs[-deep.token_ids.size :] - torch.from_numpy(deep.logprobs)).abs().max()) > 0.01
