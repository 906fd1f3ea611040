"""The scheduler where forks wait for the grades of all roots of a batch: on engines in virtual time, whoever is slow,
dies or refuses."""

import zlib
from collections import Counter

import pytest

from ib_lpo.branching.scheduler import PlainSampling
from ib_lpo.fleet.base import WorkerDied
from ib_lpo.scoring.grades import CORRECT, WRONG, Cause, unverifiable
from ib_lpo.weights.parcel import NeverArrived, TransferError
from tests.branching.rig import GrowingRig, ids, questions
from tests.rollout.simulated import Fault

BY_OUTCOME = {"allocate": "by_outcome", "floor": 0.2, "top_fraction": 0.3, "min_distance": 2}
OPEN = {"select": "open_entropy", "floor": 0.2, "top_fraction": 0.3}
BOTH = BY_OUTCOME | OPEN


def judge(text):
    """A pure function of the response."""
    return [CORRECT, WRONG, WRONG, CORRECT, unverifiable(Cause.OVERRUN)][zlib.crc32(text.encode()) % 5]


def rig(branching, engines=2, max_staleness=0, scorers=2, **given):
    values = {"branching": branching, "ib": {"scorer": "reference" if max_staleness else "policy"}}
    made = GrowingRig(engines, max_staleness=max_staleness, scorers=scorers, values=values, **given)
    made.verifier.judge = judge
    made.asked_sender = 0

    def require_sender():
        made.asked_sender += 1

    made.scheduler.read_roots_with(made.readers, require_sender)
    return made


def rows(trees):
    return [(t.id, t.token_ids.tolist(), t.fork, t.verdict) for tree in trees for t in tree.trajectories]


def run(branching, seconds=lambda call: 0.01, **given):
    """One batch; what each engine was asked for, call by call, and the trees."""
    made = rig(branching, **given)
    for service in (made.sampler, made.verifier, *(reader.target for reader in made.readers)):
        service.seconds = seconds
    made.publish(0)
    grown, done = made.grow(1)
    made.finish(grown)
    assert done == [grown] and made.engines.metrics()["fleet/in_flight"] == 0
    return {name: [one.what for one in made.asked(name, "advance")] for name in made.workers}, grown.trees


SPEEDS = (lambda call: 3.0, lambda call: 0.5 * (call % 5))


@pytest.mark.parametrize("branching", [BY_OUTCOME, OPEN, BOTH])
def test_the_same_calls_and_trees_however_slow_the_services_are(branching):
    calls, trees = run(branching)
    assert sum(len(of) for engine in calls.values() for of in engine) > 20
    for seconds in SPEEDS:
        again, same = run(branching, seconds)
        assert again == calls and rows(same) == rows(trees)


@pytest.mark.parametrize("branching", [BY_OUTCOME, OPEN, BOTH])
def test_the_same_trees_on_any_number_of_engines_and_though_one_dies(branching):
    _, trees = run(branching)
    for engines, dies in ((1, None), (3, None), (2, 1), (2, 3)):
        faults = {} if dies is None else {("engine-1", "advance"): [Fault()] * (dies - 1) + [Fault(dies=True)]}
        made = rig(branching, engines, faults=faults)
        made.publish(0)
        grown, _ = made.grow(1)
        made.finish(grown)
        assert (made.engines.metrics()["fleet/engine_restarts"] > 0) == (dies is not None)
        assert rows(grown.trees) == rows(trees)


def test_a_dead_engine_that_has_nothing_to_do_is_not_waited_for():
    """It dies when its roots are in and those of the other are not; its questions' branches go to whoever serves."""
    made = rig(BY_OUTCOME, faults={("engine-0.1", "stage"): [Fault(seconds=500.0)]})
    made.verifier.seconds = lambda call: 30.0
    made.publish(0)
    grown, _ = made.grow(1)
    made.loop.until(lambda: made.verifier.calls == 1, "the grading of the roots")
    made.workers["engine-0"].kill()
    made.finish(grown)
    assert made.loop.now() < 500 and any(t.parent for tree in grown.trees for t in tree.trajectories)


def test_roots_are_graded_together_and_once_and_branches_later():
    made = rig(BY_OUTCOME)
    made.publish(0)
    grown, _ = made.grow(1)
    made.finish(grown)
    everyone = Counter("".join(map(str, t.response_ids)) for tree in grown.trees for t in tree.trajectories)
    assert Counter(text for call in made.verifier.graded for text in call) == everyone
    roots = ["".join(map(str, root.response_ids)) for tree in grown.trees for root in tree.roots]
    assert made.verifier.graded[0] == roots and all(made.verifier.graded)
    assert grown.allocation.reserved <= grown.allocation.budget > 0


def test_roots_alone_are_read_and_only_where_forks_depend_on_it():
    for branching, expected in ((BOTH, True), (BY_OUTCOME, False)):
        made = rig(branching)
        made.publish(0)
        grown, _ = made.grow(1)
        made.finish(grown)
        read = sorted(id for reader in made.readers for call in reader.target.scored for id in call)
        assert read == (sorted(root.id for tree in grown.trees for root in tree.roots) if expected else [])


def test_a_batch_that_waits_holds_up_no_other():
    made = rig(BY_OUTCOME, max_staleness=1)
    slow = made.verifier
    slow.seconds = lambda call: 200.0 if call == 1 else 0.01
    made.publish(0)
    one, _ = made.grow(1, count=2)
    two, _ = made.grow(2, count=8)
    made.loop.until(lambda: made.verifier.calls == 1, "the grading of the first roots")
    before = len(made.asked(method="advance"))
    made.wait(100.0)
    assert not one.done and len(made.asked(method="advance")) > before
    made.finish(one)
    made.finish(two)


@pytest.mark.parametrize("branching", [BY_OUTCOME, OPEN, BOTH, BOTH | {"floor": 99.0}])
@pytest.mark.parametrize("grade", [CORRECT, WRONG, unverifiable(Cause.OVERRUN)])
def test_nothing_waits_for_ever(branching, grade):
    made = rig(branching)
    made.verifier.judge = lambda text: grade
    made.publish(0)
    for batch, count in enumerate((4, 0, 1)):
        grown, done = made.grow(1, count=count, batch=batch)
        made.finish(grown)
        assert done == [grown] and len(grown.trees) == count
        assert len({t.verdict for tree in grown.trees for t in tree.trajectories} - {grade.verdict}) == 0


@pytest.mark.parametrize("service", ["verifier", "scorer"])
def test_late_outcomes_of_what_was_abandoned_start_nothing(service):
    made = rig(BOTH, scorers=1)
    slow = made.verifier if service == "verifier" else made.readers[0].target
    slow.seconds = lambda call: 40.0
    made.publish(5)
    _, done = made.grow(5)
    made.loop.until(lambda: slow.calls == 1, "the slow call")
    slow.seconds = lambda call: 0.01
    made.scheduler.abandon()
    made.publish(4)
    again, done_again = made.grow(5)
    made.wait(400.0)
    assert done == [] and done_again == [again]
    assert {span.version for tree in again.trees for t in tree.trajectories for span in t.spans} == {4}
    assert len(made.readers[0].target.scored) == (1 if service == "verifier" else 2)


def test_a_scorer_that_cannot_read_its_weights_is_asked_again_when_the_sender_lives():
    undisturbed = run(BOTH)[1]
    made = rig(BOTH)
    made.readers[1].target.faults = [TransferError("version 0 is gone")] * 2
    made.publish(0)
    grown, _ = made.grow(1)
    made.finish(grown)
    assert made.asked_sender == 2 and rows(grown.trees) == rows(undisturbed)


def test_a_scorer_that_never_can_is_an_error_and_so_is_a_sender_that_is_gone():
    made = rig(BOTH)
    made.readers[0].target.faults = [TransferError("version 0 is gone")] * 9
    made.publish(0)
    grown, _ = made.grow(1)
    with pytest.raises(NeverArrived, match="tried 4 times"):
        made.finish(grown)

    def gone():
        raise WorkerDied("learner-0 is gone", "learner-0")

    made = rig(BOTH)
    made.scheduler.read_roots_with(made.readers, gone)
    made.readers[0].target.faults = [TransferError("version 0 is gone")]
    made.publish(0)
    grown, _ = made.grow(1)
    with pytest.raises(WorkerDied, match="learner-0"):
        made.finish(grown)
    made.scheduler.abandon()
    made.publish(0)
    again, _ = made.grow(1)
    made.finish(again)


def test_plain_samples_are_not_graded_and_wait_for_nothing():
    made = rig(BOTH)
    made.publish(0)
    how = PlainSampling(purpose="held_out", samples=2, temperature=1.0, max_response_tokens=100)
    trees = made.scheduler.sample(0, questions(3), how)
    assert len(ids(trees)) == 3 * how.samples and made.verifier.calls == 0
