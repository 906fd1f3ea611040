import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.manifest import ManifestError, validate
from ib_lpo.scoring.filter import filter_branches
from ib_lpo.tree import Label, RolloutTree, Verdict
from tests.scoring.trees import judged, tree

SCOPES = pytest.mark.parametrize("scope", ["root", "prompt"])


def manifest(keep: int | None = 2, scope="root", estimator="pmi", branches=12, roots=2, **of_filter):
    chosen = {"branching": {"branches": branches, "roots": roots}, "ib": {"estimator": estimator, "self_reward": "none"}}
    return validate({"name": "t", "steps": 1, "model": {"path": "m"}, **chosen, "filter": {"keep": keep, "scope": scope, **of_filter}})


BRANCHES = st.lists(st.tuples(st.sampled_from(list(Verdict)), st.integers(-2, 2)), max_size=12)


def grown(*families):
    roots = [judged(f"q/r{r}", Verdict.CORRECT, 0.0) for r in range(len(families))]
    branches = [
        judged(f"q/r{r}/b{b}", verdict, score, f"q/r{r}") for r, family in enumerate(families) for b, (verdict, score) in enumerate(family)
    ]
    return tree(*roots, *branches)


def compared(grown_tree, scope):
    """The sets of branches that compete, written out."""
    families = [grown_tree.branches(root) for root in grown_tree.roots]
    return families if scope == "root" else [[branch for family in families for branch in family]]


@SCOPES
@given(first=BRANCHES, second=BRANCHES, keep=st.integers(0, 12))
def test_exactly_n_verifiable_branches_of_each_set_stay(scope, first, second, keep):
    grown_tree = grown(first, second)
    metrics = filter_branches([grown_tree], manifest(keep, scope))
    assert all(root.kept and root.label is Label.ROOT and root.rank is None for root in grown_tree.roots)
    for branches in compared(grown_tree, scope):
        kept = [b for b in branches if b.kept]
        candidates = [b for b in branches if b.verdict is not Verdict.UNVERIFIABLE]
        assert len(kept) == min(keep, len(candidates))
        assert min((b.ib.score for b in kept), default=math.inf) >= max((b.ib.score for b in candidates if not b.kept), default=-math.inf)
        assert all((b.label is Label.UNVERIFIABLE) == (b.verdict is Verdict.UNVERIFIABLE) for b in branches)
    assert metrics["filter/kept"] == len(grown_tree.kept)
    assert metrics["filter/kept"] + metrics["filter/dropped"] == len(grown_tree.trajectories)
    assert sum(metrics[f"filter/{label}"] for label in Label) == len(grown_tree.trajectories)


@SCOPES
@given(first=BRANCHES, second=BRANCHES)
def test_ranks_count_from_the_best_of_each_set(scope, first, second):
    grown_tree = grown(first, second)
    filter_branches([grown_tree], manifest(3, scope))
    for branches in compared(grown_tree, scope):
        ranked = sorted((b for b in branches if b.rank is not None), key=lambda b: b.rank)
        assert [b.rank for b in ranked] == list(range(1, len(ranked) + 1))
        assert {b.id for b in ranked} == {b.id for b in branches if b.verdict is not Verdict.UNVERIFIABLE}
        assert (np.diff([b.ib.score for b in ranked]) <= 0).all()
        assert all(b.kept == (b.rank is not None and b.rank <= 3) for b in branches)


@SCOPES
@given(first=BRANCHES, second=BRANCHES, data=st.data())
def test_the_choice_does_not_depend_on_the_order_of_trajectories(scope, first, second, data):
    plain = grown(first, second)
    shuffled = RolloutTree(question=plain.question, trajectories=data.draw(st.permutations(grown(first, second).trajectories)))
    filter_branches([plain, shuffled], manifest(scope=scope))
    assert {t.id: (t.label, t.rank) for t in plain.trajectories} == {t.id: (t.label, t.rank) for t in shuffled.trajectories}


@SCOPES
@given(family=BRANCHES, wild=st.floats(allow_nan=False))
def test_an_unverifiable_branch_changes_nothing_for_the_others(scope, family, wild):
    alone, beside = grown(family), grown([*family, (Verdict.UNVERIFIABLE, wild)])
    filter_branches([alone, beside], manifest(scope=scope))
    assert [(t.label, t.rank) for t in beside.trajectories[:-1]] == [(t.label, t.rank) for t in alone.trajectories]
    assert (beside.trajectories[-1].label, beside.trajectories[-1].rank) == (Label.UNVERIFIABLE, None)


def test_ties_go_to_the_lower_number():
    tied = grown([(Verdict.WRONG, 1)] * 12)
    filter_branches([tied], manifest(keep=3))
    assert [t.id for t in tied.kept] == ["q/r0", "q/r0/b0", "q/r0/b1", "q/r0/b2"]


def test_ties_in_a_question_go_to_the_lower_root_then_the_lower_number():
    tied = grown([(Verdict.WRONG, 1), (Verdict.WRONG, 1)], [(Verdict.WRONG, 2), (Verdict.WRONG, 1)])
    filter_branches([tied], manifest(keep=2, scope="prompt"))
    assert [t.rank for t in tied.trajectories[2:]] == [2, 3, 1, 4]
    assert [t.id for t in tied.kept[2:]] == ["q/r0/b0", "q/r1/b0"]


def test_a_question_may_keep_the_branches_of_one_root_alone():
    families = grown([(Verdict.WRONG, 1), (Verdict.WRONG, 1)], [(Verdict.WRONG, 3), (Verdict.WRONG, 2)])
    for scope, expected in (("prompt", ["q/r1/b0", "q/r1/b1"]), ("root", ["q/r0/b0", "q/r1/b0"])):
        filter_branches([families], manifest(keep=len(expected) // len(compared(families, scope)), scope=scope))
        assert [t.id for t in families.kept if t.parent] == expected


def test_a_branch_stays_or_goes_whatever_becomes_of_its_parent():
    deep = grown([(Verdict.CORRECT, -2), (Verdict.WRONG, 0)])
    deep.trajectories += [judged("q/r0/b0/b0", Verdict.CORRECT, 2.0, "q/r0/b0"), judged("q/r0/b1/b0", Verdict.CORRECT, -1.0, "q/r0/b1")]
    filter_branches([deep], manifest(keep=2))
    assert {t.id: t.label for t in deep.trajectories if t.parent} == {
        "q/r0/b0": Label.PRUNED,
        "q/r0/b0/b0": Label.TOP,
        "q/r0/b1": Label.TOP,
        "q/r0/b1/b0": Label.PRUNED,
    }
    assert [t.rank for t in deep.trajectories] == [None, 4, 2, 1, 3]


def test_by_default_half_of_the_branches_of_all_forks_and_levels_stay():
    def kept(scope="root", **branching):
        values = {"branching": {"roots": 2, **branching}, "filter": {"scope": scope}}
        return validate({"name": "t", "steps": 1, "model": {"path": "m"}, **values}).kept_branches

    assert kept(forks=3) == 5
    assert kept(depth=2, budget=7) == 4
    assert kept("prompt", depth=2, budget=7) == 8
    assert kept(depth=2, budget=99) == 6
    assert kept(mode="chained") == 2
    with pytest.raises(ManifestError, match=r"filter\.keep=8: more than 7 branches of a root; keep at most 7"):
        validate({"name": "t", "steps": 1, "model": {"path": "m"}, "branching": {"depth": 2, "budget": 7}, "filter": {"keep": 8}})


def test_filtering_again_forgets_what_was_decided_before():
    again = grown([(Verdict.CORRECT, 1), (Verdict.WRONG, 0)])
    filter_branches([again], manifest(keep=1))
    again.trajectories[1].verdict = Verdict.UNVERIFIABLE
    filter_branches([again], manifest(keep=1))
    assert [(t.label, t.rank) for t in again.trajectories] == [(Label.ROOT, None), (Label.UNVERIFIABLE, None), (Label.TOP, 1)]
    filter_branches([again], manifest(estimator="none"))
    assert [t.rank for t in again.trajectories] == [None] * 3


def test_by_default_half_of_the_branches_stay():
    for k, half in ((0, 0), (1, 1), (2, 1), (3, 2), (4, 2)):
        assert manifest(None, "root", branches=k, roots=3).kept_branches == half
        assert manifest(None, "prompt", branches=k, roots=3).kept_branches == 3 * half
    assert manifest(5, "prompt", branches=3).kept_branches == 5


def test_no_more_can_be_kept_than_is_compared():
    assert manifest(6, "prompt", branches=3).kept_branches == 6
    with pytest.raises(ManifestError, match=r"filter\.keep=7: more than branching\.roots=2 \* branching\.branches=3; keep at most 6"):
        manifest(7, "prompt", branches=3)
    with pytest.raises(ManifestError, match=r"filter\.keep=4: more than branching\.branches=3; keep at most 3"):
        manifest(4, "root", branches=3)


def test_a_wrong_branch_may_stay_and_a_right_one_may_go():
    """The filter ranks by information alone."""
    mixed = grown([(Verdict.CORRECT, -1), (Verdict.WRONG, 1)])
    filter_branches([mixed], manifest(keep=1))
    assert [t.label for t in mixed.trajectories] == [Label.ROOT, Label.PRUNED, Label.TOP]


def test_roots_leave_when_they_are_not_to_be_kept():
    without = grown([(Verdict.CORRECT, 1)])
    filter_branches([without], manifest(keep_roots=False))
    assert [t.kept for t in without.trajectories] == [False, True]


def test_an_unverifiable_root_leaves_and_its_branches_stay():
    orphaned = grown([(Verdict.CORRECT, 1)])
    orphaned.trajectories[0].verdict = Verdict.UNVERIFIABLE
    filter_branches([orphaned], manifest())
    assert [t.label for t in orphaned.trajectories] == [Label.UNVERIFIABLE, Label.TOP]


def test_without_an_estimator_everything_verifiable_stays():
    unscored = tree(judged("q/r0", Verdict.WRONG), judged("q/r0/b0", Verdict.CORRECT, parent="q/r0"), judged("q/r1", Verdict.UNVERIFIABLE))
    filter_branches([unscored], manifest(estimator="none"))
    assert [t.label for t in unscored.trajectories] == [Label.UNSCORED, Label.UNSCORED, Label.UNVERIFIABLE]
    assert [t.kept for t in unscored.trajectories] == [True, True, False]


def test_stages_out_of_order_are_errors():
    ungraded, unscored = grown([(Verdict.CORRECT, 1)]), grown([(Verdict.CORRECT, 1)])
    ungraded.trajectories[1].verdict = None
    unscored.trajectories[1].ib = None
    with pytest.raises(ValueError, match="q/r0/b0: not graded"):
        filter_branches([ungraded], manifest())
    with pytest.raises(ValueError, match="q/r0/b0: not scored"):
        filter_branches([unscored], manifest())
