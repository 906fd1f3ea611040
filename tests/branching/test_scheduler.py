"""The scheduler on engines in virtual time: the same calls however slow others are, and nothing late disturbs what came after it."""

import pytest

from ib_lpo.branching.scheduler import PlainSampling
from ib_lpo.rollout.pool import Pool
from ib_lpo.weights.parcel import TransferError
from tests.branching.rig import GrowingRig, ids, questions
from tests.rollout.simulated import Fault


def calls_of_a_run(seconds, questions=6, **branching):
    """What each engine is asked for, call by call, when the latents take so long."""
    rig = GrowingRig(2, max_staleness=0, values={"branching": branching})
    rig.scheduler._sampler.target.seconds = seconds
    rig.publish(0)
    grown, _ = rig.grow(1, questions)
    rig.finish(grown)
    return {name: [one.what for one in rig.asked(name, "advance")] for name in rig.workers}


SPEEDS = (lambda call: 0.01, lambda call: 3.0, lambda call: 0.5 * (call % 5))


def test_engines_of_a_synchronous_run_see_the_same_calls_however_long_latents_take():
    first, *others = [calls_of_a_run(seconds) for seconds in SPEEDS]
    assert others == [first, first]
    assert sum(len(of) for calls in first.values() for of in calls) > 30


@pytest.mark.parametrize("pivot", ["keep", "distinct"])
def test_so_do_those_where_roots_and_pivots_end_together(pivot):
    first, *others = [calls_of_a_run(seconds, 60, pivot=pivot, floor=0.0) for seconds in SPEEDS]
    assert others == [first, first]


def test_without_holding_they_would_not(monkeypatch):
    monkeypatch.setattr(Pool, "hold", lambda pool, group: None)
    first, *others = [calls_of_a_run(seconds) for seconds in SPEEDS]
    assert others != [first, first]


def test_a_batch_is_done_once_with_whole_trees():
    rig = GrowingRig(2)
    rig.publish(0)
    (one, done_one), (two, done_two) = rig.grow(1), rig.grow(2)  # the same questions in two steps at a time
    with pytest.raises(RuntimeError, match=r"batch 1\.0 still grows 6 of 6 trees"):
        _ = one.trees
    rig.finish(one)
    rig.finish(two)
    assert (done_one, done_two) == ([one], [two])
    for batch in (one, two):
        assert [tree.question.id for tree in batch.trees] == [f"q{i}" for i in range(6)]
        assert len(ids(batch.trees)) == len(set(ids(batch.trees))) == sum(2 + 3 * (2 - tree.unforked) for tree in batch.trees)
        assert all(t.verdict is not None for tree in batch.trees for t in tree.trajectories)
    assert ids(one.trees)[0] == "q0/r0" and one.trees[0].roots[0].seed != two.trees[0].roots[0].seed
    assert rig.engines.metrics()["fleet/in_flight"] == 0


def test_no_questions_are_done_at_once():
    rig = GrowingRig(1)
    grown, done = rig.grow(1, count=0)
    assert grown.done and done == [grown] and grown.trees == []


@pytest.mark.parametrize(("service", "while_growing"), [("_verifier", False), ("_sampler", True)])
def test_late_answers_of_what_was_abandoned_do_not_touch_the_same_step_grown_again(service, while_growing):
    rig = GrowingRig(2)
    slow = getattr(rig.scheduler, service).target
    slow.seconds = lambda call: 40.0
    rig.publish(5)
    old, done = rig.grow(5)
    rig.loop.until(lambda: slow.calls and (while_growing or rig.engines.metrics()["fleet/in_flight"] == 0), "the slow call")
    slow.seconds = lambda call: 0.01
    rig.scheduler.abandon()
    rig.publish(3)
    again, done_again = rig.grow(5)
    rig.wait(400.0)
    assert done == [] and done_again == [again] and again is not old
    assert {span.version for tree in again.trees for t in tree.trajectories for span in t.spans} == {3}


def test_plain_samples_are_of_exactly_the_version_that_was_asked_for():
    rig = GrowingRig(2, faults={("engine-1", "stage"): [Fault(), Fault(seconds=10.0)]})
    rig.publish(0)
    rig.grow(1)
    rig.wait(0.5)
    rig.send(1)
    how = PlainSampling(purpose="held_out", samples=3, temperature=1.0, max_response_tokens=100)
    trees = rig.scheduler.sample(1, questions(5), how)
    assert {span.version for tree in trees for t in tree.trajectories for span in t.spans} == {1}
    assert [len(tree.roots) for tree in trees] == [len(tree.trajectories) for tree in trees] == [3] * 5
    assert all(t.verdict is None for tree in trees for t in tree.trajectories)


def test_engines_forget_plain_samples_unless_something_else_grows():
    rig = GrowingRig(1)
    rig.publish(0)
    how = PlainSampling(purpose="held_out", samples=1, temperature=1.0, max_response_tokens=100)
    rig.scheduler.sample(0, questions(2), how)
    rig.wait(1.0)
    assert len(rig.asked(method="forget")) == 1
    rig.grow(1, count=20)
    rig.scheduler.sample(0, questions(2), how)
    rig.wait(1.0)
    assert len(rig.asked(method="forget")) == 1


def test_who_starves_is_sent_the_present_version_again():
    rig = GrowingRig(1, faults={("engine-0.1", "stage"): [Fault(error=TransferError("version 0 is gone"))]})
    rig.publish(0)
    grown, _ = rig.grow(1)
    rig.wait(0.2)
    rig.workers["engine-0"].kill()
    rig.finish(grown)
    assert rig.mended == 1 and len(rig.asked("engine-0.1", "commit")) == 1


@pytest.mark.parametrize("least_mass", [0.96, 0.93, 0.88], ids=["no branch", "one", "two"])
def test_forks_with_fewer_pivots_than_branches_end_too(least_mass):
    """An engine here gives every token the log-prob -3, so e^-3 = 0.05 is gone with every one that is taken."""
    rig = GrowingRig(
        2, values={"branching": {"pivot": "distinct", "least_mass": least_mass, "forks": 2, "floor": 0.0, "top_fraction": 1.0}}
    )
    rig.publish(0)
    grown, done = rig.grow(1)
    rig.finish(grown)
    of_a_fork = {0.96: 0, 0.93: 1, 0.88: 2}[least_mass]
    for tree in grown.trees:
        assert len(tree.trajectories) == 2 * (1 + 2 * of_a_fork) and tree.missing_pivots == 2 * 2 * (3 - of_a_fork)
        assert all(len({t.token_ids[0] for t in tree.branches(root)}) >= of_a_fork for root in tree.roots)
    assert len(done) == 1
