"""Every generated token of a kept trajectory is trained exactly once, from the right context, however it is packed."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.learner.advantages import assign_advantages
from ib_lpo.learner.batch import Planting, collate, sequences
from ib_lpo.learner.config import AdvantageConfig
from ib_lpo.learner.packing import pack
from tests.learner.tiny import forest, tree

SEED = (0, 1, "draw")


def rows(batch, forest, mask=None):
    """Per target: position, token before, token, behaviour, advantage, has z, draw."""
    if mask is None:
        mask = torch.ones_like(batch.with_z)
    columns = (batch.behaviour, batch.advantages, batch.with_z, batch.draw)
    tokens = (forest.positions[0, forest.source] + 1, forest.ids[0, forest.source], forest.targets)
    return list(zip(*(c.tolist() for c in tokens), *(c[mask].tolist() for c in columns), strict=True))


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 500),
    questions=st.integers(0, 4),
    ranks=st.integers(1, 5),
    budget=st.integers(20, 120),
    share=st.booleans(),
    conditioned=st.booleans(),
    latent=st.booleans(),
)
def test_every_kept_token_is_trained_exactly_once(seed, questions, ranks, budget, share, conditioned, latent):
    trees = forest(seed, questions=questions, latent=latent)
    planting = Planting(share=share, latents=True, conditioned=conditioned)
    want, with_z = [], []
    for grown in trees:
        for t in grown.kept:
            context = [*grown.question.prompt_ids, *t.prefix_ids]
            for i, (token, logprob) in enumerate(zip(t.token_ids, t.logprobs, strict=True)):
                before = [*context, *t.token_ids[:i]]
                want.append((len(before), before[-1], token, float(logprob), float(np.float32(t.advantage)), t.latent is not None))
                with_z += [want[-1]] if t.latent is not None else []
    packing = pack(sequences(trees), ranks=ranks, budget=budget, planting=planting)
    batches = [[collate(items, planting, SEED) for items in shard] for shard in packing.shards]
    got = [row[:-1] for shard in batches for b in shard for row in rows(b, b.trained)]
    opposite = [row[:-1] for shard in batches for b in shard for row in rows(b, b.opposite, b.with_z)]
    assert sorted(got) == sorted(want)
    assert sorted(opposite) == sorted(with_z)
    for shard in batches:
        for b in shard:
            carriers, free = (b.trained, b.opposite) if conditioned else (b.opposite, b.trained)
            assert free.latents is None
            assert (carriers.latents is not None) == bool(b.with_z.any())
    assert len({len(shard) for shard in batches}) == 1, "every rank runs the same number of micro-batches"
    assert packing.tokens == sum(b.trained.tokens for shard in batches for b in shard)


def test_draws_belong_to_the_token_whatever_the_packing():
    trees = forest(3)
    found = []
    for share, budget, ranks in ((True, 500, 1), (False, 40, 3)):
        planting = Planting(share=share, latents=True)
        shards = pack(sequences(trees), ranks=ranks, budget=budget, planting=planting).shards
        batches = [collate(items, planting, SEED) for shard in shards for items in shard]
        found.append(sorted(row for batch in batches for row in rows(batch, batch.trained)))
    assert found[0] == found[1]
    assert len({row[-1] for row in found[0]}) == len(found[0]), "all different"


def test_the_reference_model_always_sees_the_z_free_sequences():
    items = sequences(forest(3))
    for conditioned in (False, True):
        batch = collate(items, Planting(share=True, latents=True, conditioned=conditioned, reference=True), SEED)
        assert batch.plain.latents is None
        assert torch.equal(batch.plain.targets, batch.trained.targets)
    assert collate(items, Planting(share=True, latents=True), SEED).plain is None


def test_an_empty_micro_batch_trains_nothing():
    batch = collate([], Planting(share=True, latents=True), SEED)
    assert batch.trained.tokens == batch.opposite.tokens == 1
    assert batch.behaviour.numel() == batch.trained.targets.numel() == batch.sequence.numel() == 0


def test_an_update_before_advantages_is_refused():
    with pytest.raises(ValueError, match="q5/r0: has no advantage; run assign_advantages"):
        sequences([tree(5)])


def test_ungraded_trajectories_are_absent():
    grown = tree(5)
    grown.trajectories[0].reward = None
    assign_advantages([grown], AdvantageConfig(), max_response_tokens=28)
    assert grown.trajectories[0].id not in {s.id for s in sequences([grown])}
