import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.scoring.siblings import sibling_sets
from ib_lpo.tree import RolloutTree, Verdict
from tests.scoring.trees import judged, question, tree

VERDICTS = st.sampled_from(list(Verdict))
FAMILIES = st.lists(st.tuples(VERDICTS, st.lists(VERDICTS, max_size=4)), max_size=12)


def grown(families) -> RolloutTree:
    roots = [judged(f"q/r{r}", verdict) for r, (verdict, _) in enumerate(families)]
    return tree(*roots, *(judged(f"q/r{r}/b{b}", v, parent=f"q/r{r}") for r, (_, of) in enumerate(families) for b, v in enumerate(of)))


def ids(sets):
    return [[t.id for t in members] for members in sets]


def test_branches_of_a_root_or_of_the_question():
    families = [(Verdict.WRONG, [Verdict.WRONG, Verdict.CORRECT]), (Verdict.CORRECT, []), (Verdict.NO_ANSWER, [Verdict.WRONG])]
    roots = ["q/r0", "q/r1", "q/r2"]
    assert ids(sibling_sets(grown(families), "root")) == [roots, ["q/r0/b0", "q/r0/b1"], ["q/r2/b0"]]
    assert ids(sibling_sets(grown(families), "prompt")) == [roots, ["q/r0/b0", "q/r0/b1", "q/r2/b0"]]


def test_branches_of_branches_are_siblings_of_those_they_left():
    """Whatever fork and level: all that descend from a root; in a chain there would be nobody else."""
    families = [(Verdict.WRONG, [Verdict.WRONG, Verdict.CORRECT]), (Verdict.CORRECT, [Verdict.WRONG])]
    deep = grown(families)
    deep.trajectories += [
        judged("q/r0/b1/b0", Verdict.WRONG, parent="q/r0/b1"),
        judged("q/r0/b1/b0/b0", Verdict.CORRECT, parent="q/r0/b1/b0"),
        judged("q/r1/b0/b0", Verdict.UNVERIFIABLE, parent="q/r1/b0"),
    ]
    of_r0 = ["q/r0/b0", "q/r0/b1", "q/r0/b1/b0", "q/r0/b1/b0/b0"]
    assert ids(sibling_sets(deep, "root")) == [["q/r0", "q/r1"], of_r0, ["q/r1/b0"], ["q/r1/b0/b0"]]
    assert ids(sibling_sets(deep, "prompt")) == [["q/r0", "q/r1"], [*of_r0[:2], "q/r1/b0", *of_r0[2:]], ["q/r1/b0/b0"]]


def test_unverifiable_trajectories_stand_apart():
    lost = Verdict.UNVERIFIABLE
    families = [(lost, [Verdict.WRONG, lost]), (Verdict.CORRECT, [lost])]
    assert ids(sibling_sets(grown(families), "root")) == [["q/r1"], ["q/r0"], ["q/r0/b0"], ["q/r0/b1"], ["q/r1/b0"]]
    assert ids(sibling_sets(grown(families), "prompt")) == [["q/r1"], ["q/r0"], ["q/r0/b0"], ["q/r0/b1", "q/r1/b0"]]


@pytest.mark.parametrize("scope", ["root", "prompt"])
@given(families=FAMILIES, data=st.data())
def test_everyone_is_in_exactly_one_set_with_its_like(scope, families, data):
    whole = grown(families)
    shuffled = RolloutTree(question=question(), trajectories=data.draw(st.permutations(whole.trajectories)))
    sets = sibling_sets(shuffled, scope)
    assert sorted(t.id for members in sets for t in members) == sorted(t.id for t in whole.trajectories)
    assert all(sets)
    for members in sets:
        assert len({t.verdict is Verdict.UNVERIFIABLE for t in members}) == 1
        assert len({t.parent if scope == "root" else t.parent is None for t in members}) == 1
    assert [set(members) for members in ids(sets)] == [set(members) for members in ids(sibling_sets(whole, scope))]


def test_an_empty_tree_has_no_sets():
    assert sibling_sets(tree(), "root") == sibling_sets(tree(), "prompt") == []
