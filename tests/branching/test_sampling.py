"""Dynamic sampling: what a step draws, keeps and drops."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.branching.sampling import Harvest, has_signal
from ib_lpo.data.schedule import batch_indices
from ib_lpo.tree import Verdict
from tests.scoring.trees import judged, question, tree

RIGHT, WRONG, SILENT, UNKNOWN = Verdict.CORRECT, Verdict.WRONG, Verdict.NO_ANSWER, Verdict.UNVERIFIABLE


def grown(name, signal):
    return tree(judged(f"{name}/r0", RIGHT), judged(f"{name}/r1", WRONG if signal else RIGHT), of=question(name))


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ((RIGHT, WRONG), True),
        ((RIGHT, SILENT), True),
        ((WRONG, SILENT), False),
        ((RIGHT, UNKNOWN), False),
        ((UNKNOWN,), False),
        ((), False),
    ],
)
def test_signal_is_two_rewards_among_verifiable_trajectories(verdicts, expected):
    assert has_signal(tree(*(judged(f"q/r{i}", verdict) for i, verdict in enumerate(verdicts)))) is expected


def draw_step(start, *, wanted, budget, questions, signal):
    """One step from batch `start` on: the harvest, and the first batch that it left undrawn."""
    harvest, batch = Harvest(wanted, budget), start
    while not harvest.complete:
        chosen = batch_indices(batch, questions=questions, per_batch=wanted, seed=1, shuffle=True)
        harvest.add([grown(q.id, signal(q.id)) for q in harvest.fresh([question(str(i)) for i in chosen])])
        batch += 1
    return harvest, batch


SIZES = st.tuples(st.integers(1, 6), st.integers(2, 5), st.integers(0, 12)).map(
    lambda s: {"wanted": s[0], "budget": s[1], "questions": s[0] * s[1] + s[2]}
)


@settings(max_examples=150, deadline=None)
@given(SIZES, st.integers(0, 40), st.sets(st.integers(0, 41)))
def test_a_step_keeps_the_first_questions_with_signal(sizes, start, useful):
    harvest, end = draw_step(start, **sizes, signal=lambda name: int(name) in useful)
    ids = [t.question.id for t in harvest.grown]
    assert len(set(ids)) == len(ids)
    signal = [t for t in harvest.grown if has_signal(t)]
    kept, metrics = harvest.kept(), harvest.metrics()
    if signal:
        assert kept == signal[: sizes["wanted"]]
    else:
        assert kept and kept == harvest.grown[-len(kept) :]
    assert metrics["sampling/questions"] == len(ids) == len(kept) + metrics["sampling/silent"] + metrics["sampling/surplus"]
    assert metrics["sampling/surplus"] == max(0, len(signal) - sizes["wanted"])
    assert metrics["sampling/batches"] == end - start <= sizes["budget"]
    assert metrics["sampling/questions"] + metrics["sampling/repeated"] == (end - start) * sizes["wanted"]
    assert len(signal) >= sizes["wanted"] or end - start == sizes["budget"]


@settings(max_examples=50, deadline=None)
@given(SIZES, st.integers(0, 40), st.sets(st.integers(0, 41)))
def test_a_step_draws_no_batch_more_than_it_needs(sizes, start, useful):
    _, end = draw_step(start, **sizes, signal=lambda name: int(name) in useful)
    shorter, _ = draw_step(start, **(sizes | {"budget": max(1, end - start - 1)}), signal=lambda name: int(name) in useful)
    if end - start > 1:
        assert sum(map(has_signal, shorter.grown)) < sizes["wanted"]


def test_with_one_batch_nothing_is_dropped():
    harvest = Harvest(wanted=3, budget=1)
    trees = [grown("a", False), grown("b", True), grown("c", False)]
    assert [q.id for q in harvest.fresh([t.question for t in trees])] == ["a", "b", "c"]
    harvest.add(trees)
    assert harvest.complete
    assert harvest.kept() == trees
    assert harvest.metrics() == {
        "sampling/batches": 1.0,
        "sampling/questions": 3.0,
        "sampling/silent": 0.0,
        "sampling/surplus": 0.0,
        "sampling/repeated": 0.0,
    }
    with pytest.raises(ValueError, match="batches_per_step=1"):
        harvest.add([])


def test_without_any_signal_the_step_goes_on_with_the_last_batch_that_holds_something():
    harvest = Harvest(wanted=2, budget=3)
    for batch in ([grown("a", False), grown("b", False)], [grown("c", False)], []):
        harvest.add(batch)
    assert harvest.complete
    assert [t.question.id for t in harvest.kept()] == ["c"]
    assert (harvest.metrics()["sampling/silent"], harvest.metrics()["sampling/surplus"]) == (2.0, 0.0)
