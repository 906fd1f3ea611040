"""Branches of branches and chains through everything after growth: scoring, filter, advantages, the learner's batches, parquet."""

import numpy as np
import pytest

from ib_lpo.learner.advantages import assign_advantages
from ib_lpo.learner.batch import Planting, collate, sequences
from ib_lpo.learner.config import AdvantageConfig
from ib_lpo.learner.packing import pack
from ib_lpo.manifest import validate
from ib_lpo.scoring.config import FailureConfig
from ib_lpo.scoring.estimators import ESTIMATORS, Need, Terms
from ib_lpo.scoring.failures import label_failures
from ib_lpo.scoring.filter import filter_branches
from ib_lpo.scoring.forward import Cost
from ib_lpo.scoring.passes import PASSES, profile_positions, reasoning_end
from ib_lpo.scoring.reading import Reading
from ib_lpo.scoring.score import score_trees
from ib_lpo.tree import RolloutTree, Verdict
from ib_lpo.tree_store import read_trees, write_trees
from tests.branching.engine import MAX, grow, plan

SHAPES = {
    "deep": {"depth": 3, "forks": 2, "branches": 2, "budget": 40, "floor": 0.0, "top_fraction": 1.0},
    "chained": {"mode": "chained", "floor": 0.0, "top_fraction": 1.0},
}


def decode(ids) -> str:
    return " ".join(map(str, ids))


@pytest.fixture(params=SHAPES)
def trees(request) -> list[RolloutTree]:
    """Graded; a sixth of the trajectories is unverifiable."""
    grown, _ = grow(plan(**SHAPES[request.param]), 4, lambda n: 0)
    assert max(len(lineage) for tree in grown for lineage in tree.lineages().values()) == 4, "three levels of branches"
    for tree in grown:
        for t in tree.trajectories:
            t.verdict = [Verdict.CORRECT, Verdict.WRONG, Verdict.WRONG, Verdict.CORRECT, Verdict.NO_ANSWER, Verdict.UNVERIFIABLE][
                t.seed % 6
            ]
            t.reward = {Verdict.CORRECT: 1.0, Verdict.UNVERIFIABLE: None}.get(t.verdict, 0.0)
            t.kept = t.reward is not None
    return grown


def manifest(trees):
    chained = any(t.id.count("/b") == 3 and len(tree.branches(tree.roots[0])) <= 1 for tree in trees for t in tree.trajectories)
    return validate({"name": "t", "steps": 1, "model": {"path": "m"}, "branching": SHAPES["chained" if chained else "deep"]})


def test_every_pass_reads_the_tokens_a_branch_owns_after_all_that_lies_before(trees):
    for tree in trees:
        for t in tree.trajectories:
            end = reasoning_end(t, decode)
            path = PASSES[Need.OWN_GIVEN_QUESTION](tree.question, t, end)
            np.testing.assert_array_equal(path.ids, [*tree.question.prompt_ids, *t.response_ids])
            assert len(path.ids) - path.start == t.token_ids.size and path.latent is None
            after = PASSES[Need.ANSWER_GIVEN_RESPONSE](tree.question, t, end)
            np.testing.assert_array_equal(after.ids, [*tree.question.prompt_ids, *t.response_ids[:end], *tree.question.answer_ids])
            positions = profile_positions(t, end, 4)
            assert all(t.prefix_ids.size <= at <= t.response_ids.size for at in positions)


def score_and_filter(trees):
    chosen, rng = manifest(trees), np.random.default_rng(0)
    assert chosen.ib.estimator in ESTIMATORS
    readings = [
        {
            t.id: Reading(terms=Terms(*rng.normal(size=2).tolist()), profile_at=(t.prefix_ids.size,), profile=(0.0,))
            for t in tree.trajectories
        }
        for tree in trees
    ]
    scores = score_trees(trees, readings, Cost(0, 0), chosen)
    return chosen, scores | label_failures(trees, FailureConfig(), decode) | filter_branches(trees, chosen)


def test_half_of_the_branches_below_each_root_stay(trees):
    chosen, metrics = score_and_filter(trees)
    assert metrics["ib/scored"] == sum(len(tree.trajectories) for tree in trees)
    for tree in trees:
        lineages = tree.lineages()
        for root in tree.roots:
            compared = [t for t in tree.trajectories if t.parent and lineages[t.id][-1] == root.id and t.reward is not None]
            assert sum(t.kept for t in compared) == min(chosen.kept_branches, len(compared))
            assert sorted(t.rank for t in compared) == list(range(1, len(compared) + 1))
            if len(compared) > 1:
                assert np.mean([t.ib.relevance_z for t in compared]) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("conditioned", [False, True])
def test_every_own_token_is_trained_once_and_no_other(trees, conditioned):
    score_and_filter(trees)
    assign_advantages(trees, AdvantageConfig(kind="tree"), max_response_tokens=MAX)
    kept = [(tree, t) for tree in trees for t in tree.kept]
    planting = Planting(share=True, latents=True, conditioned=conditioned)
    found = []
    for shard in pack(sequences(trees), ranks=2, budget=90, planting=planting).shards:
        for batch in (collate(items, planting, (0,)) for items in shard):
            forest = batch.trained
            places = (forest.positions[0, forest.source] + 1).tolist()
            found += zip(places, forest.targets.tolist(), batch.behaviour.tolist(), batch.with_z.tolist(), strict=True)
            assert batch.opposite.targets.numel() == int(batch.with_z.sum())
    want = [
        (len(tree.question.prompt_ids) + t.prefix_ids.size + i, int(token), float(logprob), t.latent is not None)
        for tree, t in kept
        for i, (token, logprob) in enumerate(zip(t.token_ids, t.logprobs, strict=True))
    ]
    assert sorted(found) == sorted(want)
    assert any(t.id.count("/b") > 1 for _, t in kept)


def test_they_survive_parquet(trees, tmp_path):
    again = read_trees(write_trees(tmp_path / "step.parquet", trees, 1))
    for one, other in zip(trees, again, strict=True):
        assert one.lineages() == other.lineages()
        assert (one.unforked, one.unforked_branches, one.missing_forks) == (other.unforked, other.unforked_branches, other.missing_forks)
        assert [t.fork for t in one.trajectories] == [t.fork for t in other.trajectories]
    assert sum(tree.missing_forks for tree in again) > 0
