"""All engines as one: versions in two phases, whoever refuses, dies, hangs or comes late; and no request lost."""

import pytest

from ib_lpo.fleet.base import FleetError
from ib_lpo.weights.parcel import TransferError
from tests.rollout.simulated import DEAD_S, SUSPECT_S, Fault, Rig

REFUSES = Fault(error=TransferError("engine-0: version 1 is no longer in shared memory"))


def committed(rig, engine):
    return [one.what for one in rig.asked(engine, "commit")]


def served(rig):
    """Versions of the tokens that came, oldest and newest."""
    versions = [span.version for generation in rig.heard for span in generation.spans]
    return min(versions), max(versions)


def test_nobody_commits_a_version_before_everybody_has_staged_it():
    rig = Rig(3, faults={("engine-1", "stage"): [Fault(seconds=40.0)]})
    delivery = rig.publish(0)
    staged = max(one.at for one in rig.asked(method="stage") if one.engine == "engine-1") + 40.0
    commits = rig.asked(method="commit")
    assert sorted(one.engine for one in commits) == ["engine-0", "engine-1", "engine-2"]
    assert all(one.at >= staged for one in commits)
    assert rig.versions == [0] and sorted(delivery.receipts) == ["engine-0", "engine-1", "engine-2"]
    assert delivery.metrics()["publish/syncs"] == 1 and delivery.metrics()["publish/rpcs"] == 2


def test_nobody_commits_a_version_before_those_outside_have_staged_it():
    """They serve the one before meanwhile; and an abandoned version is not waited for."""
    rig = Rig(2)
    rig.publish(0)
    held = rig.send(1, held=True)
    ids = rig.ask(20)
    rig.wait(30.0)
    assert {one.engine for one in rig.asked(method="stage") if one.what == 1} == {"engine-0", "engine-1"}
    assert rig.engines.version == 0 and committed(rig, "engine-0") == committed(rig, "engine-1") == [0]
    assert rig.heard and served(rig) == (0, 0) and rig.engines.publishing
    rig.engines.proceed(held)
    rig.loop.until(lambda: held.over, "version 1")
    rig.hear(ids)
    assert rig.engines.version == 1 and held.whole
    rig.send(2, held=True)
    rig.engines.abandon()
    rig.publish(1)
    assert committed(rig, "engine-0") == [0, 1, 1]


def test_requests_wait_for_the_first_version_and_run_on_through_the_next():
    rig = Rig(2)
    ids = rig.ask(30)
    rig.wait(5.0)
    assert not rig.asked(method="advance")
    rig.publish(0)
    rig.wait(1.0)
    rig.publish(1)
    rig.hear(ids)
    assert served(rig) == (0, 1)
    assert any(len(generation.spans) == 2 for generation in rig.heard)


def test_versions_that_are_published_in_a_row_are_taken_in_a_row():
    rig = Rig(2, faults={("engine-1", "stage"): [Fault(seconds=30.0)]})
    for version in (0, 1):
        rig.send(version)
    assert rig.engines.publishing
    rig.loop.until(lambda: not rig.engines.publishing, "both")
    assert rig.engines.version == 1 and rig.versions[-1] == 1
    assert committed(rig, "engine-0") == committed(rig, "engine-1") == [0, 1]


def test_who_cannot_read_a_version_serves_nothing_older_and_takes_the_next():
    rig = Rig(2, faults={("engine-0", "stage"): [Fault(), REFUSES]})
    rig.publish(0)
    ids = rig.ask(8)
    rig.publish(1)
    rig.wait(30.0)
    assert committed(rig, "engine-0") == [0] and committed(rig, "engine-1") == [0, 1]
    after = [one for one in rig.asked("engine-0", "advance") if one.at > rig.asked("engine-1", "commit")[-1].at]
    assert after == [] and rig.engines.metrics()["fleet/engines_serving"] == 1
    rig.publish(2)
    rig.hear(ids)
    assert committed(rig, "engine-0") == [0, 2] and rig.engines.metrics()["fleet/engines_serving"] == 2
    assert rig.engines.metrics()["fleet/engine_restarts"] == 0


@pytest.mark.parametrize("phase", ["stage", "commit"])
def test_who_refuses_too_often_is_replaced(phase):
    rig = Rig(2, faults={("engine-0", phase): [Fault(), Fault(times=4, error=REFUSES.error)]})
    rig.publish(0)
    for version in (1, 2, 3):
        rig.publish(version)
        assert "engine-0.1" not in rig.workers
    rig.publish(4)
    assert rig.workers["engine-0"].alive is False
    rig.wait(30.0)
    rig.publish(5)
    assert committed(rig, "engine-0.1")[-1] == 5
    assert rig.engines.metrics()["fleet/engine_restarts"] == 1


def test_requests_of_one_that_waits_for_the_learner_are_no_deadlock():
    """It holds requests, and cannot get the present version: the learner must send it once more, also to those who have it."""
    rig = Rig(2, faults={("engine-0", "commit"): [Fault(), REFUSES]})
    rig.publish(0)
    ids = rig.ask(16)
    assert not rig.engines.starved
    rig.publish(1)
    rig.loop.until(lambda: rig.engines.starved, "a call for help")
    rig.publish(1)
    rig.hear(ids)
    assert committed(rig, "engine-0") == [0, 1, 1] and committed(rig, "engine-1") == [0, 1, 1]
    assert rig.engines.metrics()["fleet/engines_serving"] == 2


@pytest.mark.parametrize("phase", ["stage", "commit", "advance"])
def test_a_death_costs_no_request_and_keeps_nobody_from_the_version(phase):
    rig = Rig(2, faults={("engine-0", phase): [Fault(), Fault(dies=True)]})
    rig.publish(0)
    ids = rig.ask(24)
    rig.publish(1)
    rig.hear(ids)
    rig.wait(60.0)
    metrics = rig.engines.metrics()
    assert metrics["fleet/engine_restarts"] == 1 and metrics["fleet/reissued"] > 0 and metrics["fleet/in_flight"] == 0
    assert metrics["fleet/engines_serving"] == 2 and committed(rig, "engine-0.1") == [1]
    alone = Rig(1)
    alone.publish(0)
    alone.hear(alone.ask(24))
    tokens = [{one.id: one.token_ids.tolist() for one in run.heard} for run in (rig, alone)]
    assert tokens[0] == tokens[1]  # the same seeds


def test_a_receipt_that_is_wrong_costs_an_engine():
    rig = Rig(2, faults={("engine-1", "commit"): [Fault(wrong=True)]})
    delivery = rig.publish(0)
    assert rig.workers["engine-1"].alive is False
    assert list(delivery.receipts) == ["engine-0"] and delivery.whole
    rig.wait(60.0)
    assert committed(rig, "engine-1.1") == [0] and rig.engines.metrics()["fleet/engines_serving"] == 2


def test_who_comes_in_the_middle_of_a_round_is_fitted_after_it():
    """Starting takes 20 s: the new engine is there while engine-1 still stages."""
    rig = Rig(2, faults={("engine-1", "stage"): [Fault(), Fault(seconds=40.0)]})
    rig.publish(0)
    rig.workers["engine-0"].kill()
    rig.ask(1)  # so that the death is noticed
    rig.wait(1.0)
    rig.publish(1)
    assert committed(rig, "engine-1") == [0, 1] and committed(rig, "engine-0.1") == []
    rig.wait(20.0)
    assert committed(rig, "engine-0.1") == [1]
    assert rig.asked("engine-0.1", "stage")[0].at > rig.asked("engine-1", "commit")[-1].at


def test_a_silent_engine_that_is_heard_of_again_is_fitted_before_it_serves():
    rig = Rig(2, faults={("engine-0", "advance"): [Fault(seconds=SUSPECT_S + 20.0)]})
    rig.publish(0)
    ids = rig.ask(8)
    rig.wait(SUSPECT_S + 5.0)
    assert rig.engines.metrics()["fleet/engines_serving"] == 1
    rig.publish(1)
    assert committed(rig, "engine-0") == [0]
    rig.hear(ids)
    rig.wait(5.0)
    assert committed(rig, "engine-0") == [0, 1] and rig.engines.metrics()["fleet/engine_restarts"] == 0
    first, fitted = rig.asked("engine-0", "advance")[0].at, rig.asked("engine-0", "commit")[-1].at
    assert [one for one in rig.asked("engine-0", "advance") if first < one.at < fitted and one.what] == []


def test_an_engine_that_stays_silent_is_replaced_and_its_requests_are_issued_again():
    rig = Rig(2, faults={("engine-0", "advance"): [Fault(hangs=True)]})
    rig.publish(0)
    began = rig.fleet.clock
    rig.hear(rig.ask(8))
    assert began + DEAD_S <= rig.fleet.clock < began + DEAD_S + 30.0
    assert rig.engines.metrics()["fleet/engine_restarts"] == 1 and rig.engines.metrics()["fleet/reissued"] > 0


def test_a_silent_receiver_does_not_hold_up_the_others():
    rig = Rig(2, faults={("engine-0", "stage"): [Fault(), Fault(hangs=True)]})
    rig.publish(0)
    began = rig.fleet.clock
    rig.publish(1)
    assert rig.fleet.clock - began < SUSPECT_S + 10.0
    assert committed(rig, "engine-1") == [0, 1]


def test_a_version_that_a_newcomer_cannot_read_is_asked_for_when_nobody_serves():
    rig = Rig(1, faults={("engine-0.1", "stage"): [REFUSES]})
    rig.publish(0)
    ids = rig.ask(3)
    rig.wait(0.5)
    assert not rig.engines.starved
    rig.workers["engine-0"].kill()
    rig.loop.until(lambda: rig.engines.starved, "a call for help")
    assert committed(rig, "engine-0.1") == []
    rig.publish(0)
    rig.hear(ids)
    assert committed(rig, "engine-0.1") == [0]


@pytest.mark.parametrize("phase", ["stage", "commit"])
def test_who_is_always_too_slow_to_take_a_version_is_replaced(phase):
    """It would be fitted anew for ever, and serve nothing."""
    rig = Rig(1, faults={("engine-0", phase): [Fault(times=9, seconds=SUSPECT_S + 10.0)]})
    rig.publish(0)
    rig.hear(rig.ask(3))
    assert len(rig.asked("engine-0", phase)) == 4 and rig.engines.metrics()["fleet/engine_restarts"] == 1
    assert served(rig) == (0, 0) and committed(rig, "engine-0.1") == [0]


def test_slow_calls_with_versions_taken_in_between_cost_no_engine():
    rig = Rig(1, faults={("engine-0", "advance"): [Fault(times=6, seconds=SUSPECT_S + 10.0)]})
    rig.publish(0)
    rig.hear(rig.ask(12))
    assert len(committed(rig, "engine-0")) > 4 and rig.engines.metrics()["fleet/engine_restarts"] == 0


def test_a_hung_engine_is_idle_from_the_suspicion_on():
    rig = Rig(1, faults={("engine-0", "advance"): [Fault(hangs=True)]})
    rig.publish(0)
    rig.ask(1)
    rig.wait(SUSPECT_S + 2.0)
    rig.engines.metrics()
    rig.wait(20.0)
    assert rig.engines.metrics()["idle/engines"] == 1.0


def test_what_was_abandoned_is_not_heard_of_and_an_older_version_may_follow():
    rig = Rig(2)
    rig.publish(5)
    ids = rig.ask(12)
    rig.wait(0.3)
    assert rig.asked(method="advance") and len(rig.heard) < 12
    before = len(rig.heard)
    rig.engines.abandon()
    assert rig.engines.version is None and not rig.engines.publishing and rig.engines.metrics()["fleet/in_flight"] == 0
    rig.wait(30.0)
    assert len(rig.heard) == before
    del rig.heard[:]
    rig.publish(3)
    rig.hear(rig.ask(12))
    assert served(rig) == (3, 3) and ids


def test_a_silent_engine_is_replaced_when_everything_is_abandoned():
    """It would go on with requests whose ids are given anew."""
    rig = Rig(2, faults={("engine-0", "advance"): [Fault(seconds=SUSPECT_S + 40.0)]})
    rig.publish(5)
    rig.ask(12)
    rig.wait(SUSPECT_S + 5.0)
    rig.engines.abandon()
    assert rig.workers["engine-0"].alive is False
    del rig.heard[:]
    rig.publish(3)
    rig.hear(rig.ask(12))
    assert served(rig) == (3, 3)


def test_a_refusal_of_what_was_abandoned_says_nothing_about_what_came_then():
    """The learner that sent it is gone; an engine comes to its call only when the next learner has sent a version."""
    slow, refused = Fault(seconds=20.0), Fault(error=TransferError("gone with its sender"))
    rig = Rig(1, faults={("engine-0", "advance"): [slow], ("engine-0", "stage"): [Fault(), refused]})
    rig.publish(5)
    rig.ask(3)
    rig.wait(1.0)
    rig.send(6)
    rig.engines.abandon()
    rig.publish(5)
    del rig.heard[:]
    rig.hear(rig.ask(3, of="again"))
    assert not rig.engines.starved and served(rig) == (5, 5)


def test_too_many_deaths_are_an_error_that_names_the_setting():
    rig = Rig(2, faults={(f"engine-0{again}", "stage"): [Fault(dies=True)] for again in ("", ".1", ".2")}, cluster={"most_restarts": 2})
    with pytest.raises(FleetError, match=r"cluster\.most_restarts=2"):
        rig.publish(0)
        rig.wait(100.0)


def test_caches_are_emptied_only_while_nothing_is_generated():
    rig = Rig(2)
    rig.publish(0)
    ids = rig.ask(6)
    rig.engines.empty_caches()
    assert not rig.asked(method="forget")
    rig.hear(ids)
    rig.engines.empty_caches()
    rig.wait(5.0)
    assert sorted(one.engine for one in rig.asked(method="forget")) == ["engine-0", "engine-1"]
