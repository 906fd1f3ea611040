"""The rules of scoring/filters, each by its promise, through the stage that uses them."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.manifest import ManifestError, validate
from ib_lpo.scoring.filter import filter_branches
from ib_lpo.tree import Label, Verdict
from tests.scoring.trees import judged, tree

REWARDS = {Verdict.CORRECT: 1.0, Verdict.WRONG: 0.0, Verdict.NO_ANSWER: 0.0, Verdict.UNVERIFIABLE: None}
BRANCHES = st.lists(st.tuples(st.sampled_from(list(REWARDS)), st.integers(-2, 2)), min_size=1, max_size=12)


def manifest(kind: str, **settings):
    values = {"branching": {"branches": 12}, "ib": {"self_reward": "none"}, "filter": {"kind": kind, **settings}}
    return validate({"name": "t", "steps": 1, "model": {"path": "m"}, **values})


def filtered(family, kind, **settings):
    """The branches of one root, graded and scored as `family` says, and the stage's metrics."""
    root = judged("q/r0", Verdict.CORRECT, 0.0)
    branches = [judged(f"q/r0/b{b}", verdict, score, "q/r0") for b, (verdict, score) in enumerate(family)]
    metrics = filter_branches([tree(root, *branches)], manifest(kind, **settings))
    assert root.label is Label.ROOT and root.weight == 1.0
    for branch in branches:
        if branch.verdict is Verdict.UNVERIFIABLE:
            assert not branch.kept and branch.rank is None and branch.weight == 1.0
    return [b for b in branches if b.verdict is not Verdict.UNVERIFIABLE], metrics


def best_first(branches):
    return sorted(branches, key=lambda b: b.rank)


@given(family=BRANCHES, keep=st.integers(0, 12))
def test_balance_keeps_n_and_both_rewards_where_both_are_there(family, keep):
    branches, _ = filtered(family, "balance", keep=keep)
    kept = [b for b in branches if b.kept]
    assert len(kept) == min(keep, len(branches))
    if keep >= 2:
        assert {b.reward for b in kept} == {b.reward for b in branches}
    for reward in {b.reward for b in branches}:
        stay, go = ([b.ib.score for b in branches if b.reward == reward and b.kept == is_kept] for is_kept in (True, False))
        assert min(stay, default=math.inf) >= max(go, default=-math.inf)


@given(family=BRANCHES, keep=st.integers(0, 12))
def test_balance_takes_right_and_wrong_in_turn(family, keep):
    branches, _ = filtered(family, "balance", keep=keep)
    highest = max((b.reward for b in branches), default=None)
    there, kept = (Counter(b.reward == highest for b in of) for of in (branches, [b for b in branches if b.kept]))
    assert kept[True] == min(there[True], max(-(-keep // 2), keep - there[False]))
    assert kept[False] == min(there[False], max(keep // 2, keep - there[True]))


@given(family=BRANCHES)
def test_within_keeps_the_better_half_of_every_reward(family):
    branches, _ = filtered(family, "within")
    for reward in {b.reward for b in branches}:
        ranked = best_first([b for b in branches if b.reward == reward])
        assert [b.kept for b in ranked] == [2 * place < len(ranked) for place in range(len(ranked))]


@given(family=BRANCHES)
def test_within_leaves_the_share_of_right_answers_as_it_was_in_even_sets(family):
    branches, metrics = filtered([*family, *family], "within")
    if branches:
        assert metrics["filter/right_share_after"] == pytest.approx(metrics["filter/right_share_before"])


@given(family=BRANCHES, lowest=st.floats(0, 1))
def test_weights_drop_nothing_fall_with_the_rank_and_have_mean_one(family, lowest):
    branches, metrics = filtered(family, "weights", lowest_weight=lowest)
    weights = [b.weight for b in best_first(branches)]
    assert all(b.kept and b.label is Label.TOP for b in branches) and metrics["filter/pruned"] == 0
    assert weights == sorted(weights, reverse=True)
    if len(weights) > 1:
        assert (weights[0], weights[-1]) == pytest.approx((2 - lowest, lowest))
    if weights:
        assert sum(weights) / len(weights) == pytest.approx(1)


@given(family=BRANCHES, kind=st.sampled_from(["top", "balance", "within"]))
def test_only_weights_weigh(family, kind):
    branches, _ = filtered(family, kind)
    assert all(b.weight == 1.0 for b in branches)


def test_shares_count_right_branches_alone():
    family = [(Verdict.CORRECT, 2), (Verdict.WRONG, 1), (Verdict.NO_ANSWER, 0), (Verdict.WRONG, -1), (Verdict.UNVERIFIABLE, 5)]
    _, metrics = filtered(family, "top", keep=2)
    assert (metrics["filter/right_share_before"], metrics["filter/right_share_after"]) == (0.25, 0.5)
    _, metrics = filtered([(Verdict.UNVERIFIABLE, 5)], "top", keep=2)
    assert "filter/right_share_before" not in metrics


@pytest.mark.parametrize("kind", ["within", "weights"])
def test_a_number_to_keep_is_refused_where_it_has_no_meaning(kind):
    with pytest.raises(ManifestError, match=rf"^filter\.keep=2: filter\.kind={kind} keeps no fixed number; set filter\.keep=null, or "):
        manifest(kind, keep=2)
