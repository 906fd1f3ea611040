"""Every generated token of a kept trajectory is trained exactly once, from the right hidden state, whatever the batching."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.learner.advantages import assign_advantages
from ib_lpo.learner.batch import collate, dummy, micro_batches, sequences, shards
from ib_lpo.learner.config import AdvantageConfig
from tests.learner.tiny import forest, tree


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 500), questions=st.integers(0, 4), ranks=st.integers(1, 5), micro=st.integers(1, 6), latent=st.booleans())
def test_every_kept_token_is_trained_exactly_once(seed, questions, ranks, micro, latent):
    trees = forest(seed, questions=questions, latent=latent)
    want = []
    for t in (t for grown in trees for t in grown.kept):
        context = [*next(g.question.prompt_ids for g in trees if t in g.trajectories), *t.prefix_ids]
        for i, (token, logprob) in enumerate(zip(t.token_ids, t.logprobs, strict=True)):
            before = [*context, *t.token_ids[:i]]
            want.append((len(before), before[-1], token, float(logprob), np.float32(t.advantage), t.latent is not None))
    got, sizes = [], []
    for shard in shards(sequences(trees), ranks):
        batches = list(micro_batches(shard, micro, "cpu"))
        sizes.append([len(b.ids) for b in batches])
        for b in batches:
            flat, columns = b.ids.flatten(), b.ids.shape[1]
            for n in range(len(b.source)):
                at = int(b.source[n])
                assert flat[at + 1] == b.targets[n]
                place = (at % columns + 1, int(flat[at]), int(b.targets[n]))
                got.append((*place, float(b.behaviour[n]), np.float32(b.advantages[n]), bool(b.with_z[n])))
    assert sorted(got) == sorted(want)
    assert all(s == sizes[0] for s in sizes), "every rank runs the same number of micro-batches"


def test_forks_are_the_last_prefix_tokens():
    trees = forest(3)
    items = sequences(trees)
    batch = collate(items, "cpu")
    with_z = [s for s in items if s.latent is not None]
    assert batch.rows.tolist() == [i for i, s in enumerate(items) if s.latent is not None]
    branches = [t for grown in trees for t in grown.kept if t.parent]
    assert len(with_z) == len(branches) > 0
    for fork, row, branch, latent in zip(batch.forks, batch.rows, branches, batch.latents, strict=True):
        assert batch.ids[row, fork] == branch.prefix_ids[-1]
        assert batch.ids[row, fork + 1] == branch.token_ids[0]
        assert np.array_equal(latent.numpy(), branch.latent)


def test_shards_are_balanced_by_length():
    items = sequences([t for seed in range(12) for t in forest(seed)])
    loads = [sum(len(s.ids) for s in shard) for shard in shards(items, 4)]
    assert max(loads) - min(loads) <= max(len(s.ids) for s in items)


def test_a_batch_of_dummies_trains_nothing():
    batch = collate([dummy(), dummy()], "cpu")
    assert batch.ids.shape == (2, 1)
    assert batch.source.numel() == batch.targets.numel() == batch.rows.numel() == 0


def test_an_update_before_advantages_is_refused():
    with pytest.raises(ValueError, match="q5/r0: kept and graded, but has no advantage"):
        sequences([tree(5)])


def test_ungraded_trajectories_are_absent():
    grown = tree(5)
    grown.trajectories[0].reward = None
    assign_advantages([grown], AdvantageConfig())
    assert grown.trajectories[0].id not in {s.id for s in sequences([grown])}
