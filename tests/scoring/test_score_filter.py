import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.manifest import validate
from ib_lpo.scoring.filter import filter_branches
from ib_lpo.scoring.score import apply_scores
from ib_lpo.tree import IbScore, Label, RolloutTree, Verdict
from tests.scoring.trees import judged, tree


def manifest(keep=2, keep_roots=True, estimator="pmi"):
    chosen = {"branching": {"branches": 12}, "filter": {"keep": keep, "keep_roots": keep_roots}, "ib": {"estimator": estimator}}
    return validate({"name": "t", "steps": 1, "model": {"path": "m"}, **chosen})


BRANCHES = st.lists(st.tuples(st.sampled_from(list(Verdict)), st.integers(-2, 2)), max_size=12)


def grown(*families):
    roots = [judged(f"q/r{r}", Verdict.CORRECT, 0.0) for r in range(len(families))]
    branches = [
        judged(f"q/r{r}/b{b}", verdict, score, f"q/r{r}") for r, family in enumerate(families) for b, (verdict, score) in enumerate(family)
    ]
    return tree(*roots, *branches)


@given(first=BRANCHES, second=BRANCHES, keep=st.integers(0, 12))
def test_exactly_n_verifiable_branches_of_each_root_stay(first, second, keep):
    grown_tree = grown(first, second)
    metrics = filter_branches([grown_tree], manifest(keep))
    for root in grown_tree.roots:
        branches = grown_tree.branches(root)
        kept = [b for b in branches if b.kept]
        verifiable = [b for b in branches if b.verdict is not Verdict.UNVERIFIABLE]
        assert root.kept and root.label is Label.ROOT
        assert len(kept) == min(keep, len(verifiable))
        assert min((b.ib.score for b in kept), default=math.inf) >= max((b.ib.score for b in verifiable if not b.kept), default=-math.inf)
        assert all((b.label is Label.UNVERIFIABLE) == (b.verdict is Verdict.UNVERIFIABLE) for b in branches)
    assert metrics["filter/kept"] == len(grown_tree.kept)
    assert metrics["filter/kept"] + metrics["filter/dropped"] == len(grown_tree.trajectories)
    assert sum(metrics[f"filter/{label}"] for label in Label) == len(grown_tree.trajectories)


@given(family=BRANCHES, data=st.data())
def test_the_choice_does_not_depend_on_the_order_of_trajectories(family, data):
    plain = grown(family)
    shuffled = RolloutTree(question=plain.question, trajectories=data.draw(st.permutations(grown(family).trajectories)))
    filter_branches([plain, shuffled], manifest())
    assert {t.id: t.label for t in plain.trajectories} == {t.id: t.label for t in shuffled.trajectories}


def test_ties_go_to_the_lower_number():
    tied = grown([(Verdict.WRONG, 1)] * 12)
    filter_branches([tied], manifest(keep=3))
    assert [t.id for t in tied.kept] == ["q/r0", "q/r0/b0", "q/r0/b1", "q/r0/b2"]


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


def score(value):
    return IbScore(relevance=value, compression=2 * value, score=-value)


def test_scores_reach_their_trajectories_and_the_metrics():
    scored = tree(
        judged("q/r0", Verdict.WRONG), judged("q/r0/b0", Verdict.CORRECT, parent="q/r0"), judged("q/r0/b1", Verdict.WRONG, parent="q/r0")
    )
    metrics = apply_scores([scored], [{"q/r0": score(5.0), "q/r0/b0": score(1.0), "q/r0/b1": score(2.0)}])
    assert [t.ib.relevance for t in scored.trajectories] == [5.0, 1.0, 2.0]
    assert metrics["ib/relevance"] == 1.5 and metrics["ib/compression"] == 3.0
    assert metrics["ib/root_relevance"] == 5.0
    assert metrics["ib/score_correct"] == -1.0 and metrics["ib/score_wrong"] == -2.0
    assert metrics["ib/spread"] == 1.0 and metrics["ib/scored"] == 3.0


def test_missing_and_non_finite_scores_are_errors():
    with pytest.raises(ValueError, match="q/r0: the scorer returned no score"):
        apply_scores([tree(judged("q/r0", Verdict.WRONG))], [{}])
    with pytest.raises(ValueError, match="not finite"):
        apply_scores([tree(judged("q/r0", Verdict.WRONG))], [{"q/r0": score(math.nan)}])
    with pytest.raises(ValueError, match="0 trees"):
        apply_scores([tree()], [])
