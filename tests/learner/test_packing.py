"""Micro-batches keep their budget, ranks their balance, and the order in which trajectories come changes nothing."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.learner.batch import Planting, sequences
from ib_lpo.learner.packing import deal, mini_batches, pack, packing_metrics
from ib_lpo.policy.forest import planted_tokens
from tests.learner.tiny import forest

COSTS = st.lists(st.integers(1, 100), max_size=40)


@given(costs=COSTS, ranks=st.integers(1, 6), budget=st.integers(20, 300))
def test_every_item_is_dealt_once_within_the_budget(costs, ranks, budget):
    rounds = deal(costs, ranks=ranks, budget=budget)
    hands = [hand for one_round in rounds for hand in one_round]
    assert sorted(i for hand in hands for i in hand) == list(range(len(costs)))
    assert all(len(one_round) == ranks for one_round in rounds)
    assert all(sum(costs[i] for i in hand) <= budget or len(hand) == 1 for hand in hands)


@given(costs=COSTS, ranks=st.integers(1, 6), budget=st.integers(100, 300))
def test_hands_of_a_round_differ_by_no_more_than_one_item(costs, ranks, budget):
    """Longest-first: the heaviest hand held less than the lightest before it got its last item."""
    loads = [[sum(costs[i] for i in hand) for hand in one_round] for one_round in deal(costs, ranks=ranks, budget=budget)]
    assert all(max(of_round) - min(of_round) <= max(costs, default=0) for of_round in loads)


@given(costs=st.lists(st.integers(40, 60), min_size=64, max_size=64), ranks=st.sampled_from([1, 2, 4]))
def test_many_similar_items_leave_ranks_waiting_little(costs, ranks):
    rounds = deal(costs, ranks=ranks, budget=1000)
    awaited = sum(ranks * max(sum(costs[i] for i in hand) for hand in one_round) for one_round in rounds)
    assert 1 - sum(costs) / awaited < 0.03
    assert len(rounds) <= -(-sum(costs) // (ranks * 1000)) + 1


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 99), share=st.booleans(), ranks=st.integers(1, 3), budget=st.integers(30, 200), conditioned=st.booleans())
def test_packing_depends_on_the_set_alone(seed, share, ranks, budget, conditioned):
    items = sequences([t for i in range(3) for t in forest(seed + 1000 * i)])
    planting = Planting(share=share, latents=True, conditioned=conditioned)
    packing = pack(items, ranks=ranks, budget=budget, planting=planting)
    shuffled = random.Random(seed).sample(items, len(items))
    again = pack(shuffled, ranks=ranks, budget=budget, planting=planting)
    assert [[[s.id for s in m] for m in shard] for shard in again.shards] == [
        [[s.id for s in m] for m in shard] for shard in packing.shards
    ]
    for micro_batch in (m for shard in packing.shards for m in shard if len(m) > 1):
        assert planted_tokens(planting.trained(micro_batch), share=share) <= budget
        assert planted_tokens(planting.opposite(micro_batch), share=share) <= budget
    assert packing.padding == sum(not m for shard in packing.shards for m in shard)


def test_trees_are_kept_together_and_shared():
    items = sequences([t for seed in range(6) for t in forest(seed)])
    tree = pack(items, ranks=2, budget=400, planting=Planting(share=True, latents=False))
    flat = pack(items, ranks=2, budget=400, planting=Planting(share=False, latents=False))
    places = {(s.group, rank) for rank, shard in enumerate(tree.shards) for m in shard for s in m}
    assert len(places) == len({s.group for s in items})
    assert packing_metrics([tree])["learner/tree_token_ratio"] < packing_metrics([flat])["learner/tree_token_ratio"] < 1
    assert flat.tokens == sum(len(s.ids) - 1 for s in items), "the last token of a trajectory is only a target"
    assert tree.flat_tokens == flat.flat_tokens == sum(len(s.ids) for s in items)


def test_a_tree_beyond_the_budget_is_divided():
    items = sequences(forest(4, questions=1))
    packing = pack(items, ranks=1, budget=max(len(s.ids) for s in items) + 3, planting=Planting(share=True, latents=False))
    assert len(packing.shards[0]) > 1
    assert sorted(s.id for m in packing.shards[0] for s in m) == sorted(s.id for s in items)


def test_more_ranks_than_work_pads_and_says_so():
    packing = pack(sequences(forest(4, questions=1))[:1], ranks=3, budget=100, planting=Planting(share=True, latents=True))
    assert [len(shard) for shard in packing.shards] == [1, 1, 1]
    assert packing_metrics([packing])["learner/padding"] == pytest.approx(2 / packing.tokens)
    nothing = pack([], ranks=2, budget=100, planting=Planting(share=True, latents=False))
    assert packing_metrics([nothing])["learner/padding"] == 1 and not nothing.totals.signal


@given(questions=st.integers(0, 6), count=st.integers(1, 8))
@settings(deadline=None, max_examples=20)
def test_mini_batches_hold_every_question_once_and_whole(questions, count):
    items = sequences(forest(5, questions=questions))
    parts = mini_batches(items, count)
    assert len(parts) == min(count, max(1, questions))
    assert sorted(s.id for part in parts for s in part) == sorted(s.id for s in items)
    groups = [{s.group for s in part} for part in parts]
    assert sum(map(len, groups)) == questions and max(map(len, groups)) - min(map(len, groups)) <= 1


def test_totals_count_what_is_trained():
    items = sequences(forest(4, questions=2))
    totals = pack(items, ranks=2, budget=100, planting=Planting(share=True, latents=True)).totals
    assert (totals.tokens, totals.sequences, totals.signal) == (sum(len(s.behaviour) for s in items), len(items), True)
    flat = [replace(s, advantages=0 * s.advantages) for s in items]
    assert not pack(flat, ranks=2, budget=100, planting=Planting(share=True, latents=True)).totals.signal
