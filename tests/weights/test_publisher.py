"""Every version to everybody who holds a copy, whoever of the scorers is replaced on the way."""

from functools import partial

import pytest
import torch

from ib_lpo.fleet.base import FleetError, Overdue, successor
from ib_lpo.fleet.kept import Kept
from ib_lpo.fleet.local import LocalFleet
from ib_lpo.fleet.loop import EventLoop
from ib_lpo.learner.group import LearnerLost
from ib_lpo.manifest import validate
from ib_lpo.weights.again import persist
from ib_lpo.weights.config import WeightsConfig
from ib_lpo.weights.outbox import Outbox
from ib_lpo.weights.parcel import NeverArrived, Receipt
from ib_lpo.weights.publisher import Publisher
from tests.weights.holder import SHAPES, Holder, policy


class Learner:
    """Sends from this process; `sabotage` comes between the sending and the receivers."""

    def __init__(self):
        self.sent, self.routes, self.alive, self.sabotage = [], [], True, lambda: None
        self.begin()

    def begin(self):
        self.outbox = Outbox(SHAPES.items(), dtype=torch.float32, config=WeightsConfig(transport="shm"), device="cpu")

    def publish(self, version, route):
        self.sent.append((version, sorted(route.places)))
        self.routes.append(route.places)
        parcel = self.outbox.send(version, policy(version).items(), route)
        self.sabotage()
        return parcel

    def require_alive(self):
        if not self.alive:
            raise LearnerLost("learner-0.ready: the worker died", "learner-0")


class Engines:
    """Take a version when the test says so; `seen` hears of it at that time."""

    def __init__(self, at_once=True):
        self.version, self.deliveries, self.at_once = None, [], at_once
        self.places, self.seen = {}, lambda: None

    @property
    def publishing(self):
        return any(not delivery.over for delivery in self.deliveries)

    def publish(self, delivery):
        assert delivery.held
        self.deliveries.append(delivery)

    def proceed(self, delivery):
        delivery.held = False
        self.seen()
        if self.at_once:
            self.take()

    def take(self, proven=True):
        delivery = self.deliveries[-1]
        delivery.serving.add("engine-0")
        if proven:
            receipt = Receipt("engine-0", delivery.parcel.version, delivery.parcel.fingerprints, seconds=3.0)
            delivery.received("engine-0", receipt, delivery.began + 100.0)
        self.version, delivery.over = delivery.parcel.version, True


class Rig:
    """`faults[scorer]`: those of the scorer and of its replacements, in turn."""

    def __init__(self, faults=None, engines=None, max_staleness=0):
        self.fleet, self.learner, self.engines = LocalFleet(), Learner(), engines or Engines()
        self.loop = EventLoop(self.fleet, deadline_s=0.3)
        values = {"name": "p", "steps": 1, "model": {"path": "m"}, "max_staleness": max_staleness}
        values |= {"learner": {"loss": {"engine_is": True}}} if max_staleness else {}
        self.publisher = Publisher(validate(values), self.loop, self.learner, self.engines)
        self.scorers = [self.scorer(f"scorer-{i}", (faults or {}).get(i, ())) for i in range(2)]
        self.publisher.follow(self.scorers)

    def scorer(self, name, faults):
        def make(attempt):
            fault = faults[attempt] if attempt < len(faults) else ""
            return self.fleet.spawn(Holder, successor(name, attempt), fault, name=successor(name, attempt))

        return Kept(make, self.publisher.prepare, most=3)

    def held(self):
        """The versions that the scorers answer with, and whether these are the weights of that version."""
        states = self.loop.gather([scorer.call("state") for scorer in self.scorers], "the states")
        assert all(torch.equal(live[name], tensor) for version, live in states for name, tensor in policy(version).items())
        return [version for version, _ in states]


@pytest.fixture
def rig():
    return Rig()


def test_scorers_and_engines_get_every_version(rig):
    for version in range(3):
        metrics = rig.publisher.publish(version)
        assert rig.held() == [version] * 2 and rig.engines.version == version
        assert metrics["publish/syncs"] == 1 and metrics["publish/seconds_paused"] == 3.0
        assert metrics["publish/rpcs"] == 2 and 100 < metrics["publish/seconds"] < 110
    for scorer in rig.scorers:
        assert scorer.worker.target.calls == ["place", "stage", "commit"] * 3
    assert rig.learner.sent == [(version, ["scorer-0", "scorer-1"]) for version in range(3)]


@pytest.mark.parametrize("fault", ["deaf", "breaks"])
def test_a_scorer_that_dies_in_the_middle_of_a_publish_is_replaced_by_one_with_that_version(fault):
    rig = Rig({1: [fault]})
    rig.publisher.publish(4)
    assert rig.held() == [4, 4] and [scorer.restarts for scorer in rig.scorers] == [0, 1]


def test_a_scorer_that_dies_while_the_learner_sends_takes_the_version_before_and_then_the_new_one(rig):
    rig.publisher.publish(0)
    rig.learner.sabotage = rig.scorers[0].kill
    rig.publisher.publish(1)
    assert rig.held() == [1, 1] and rig.scorers[0].restarts == 1


def test_a_scorer_that_dies_between_two_publishes_is_replaced_by_one_with_the_present_version(rig):
    rig.publisher.publish(0)
    rig.publisher.publish(1)
    rig.scorers[1].kill()
    assert rig.held() == [1, 1] and rig.scorers[1].restarts == 1


def test_a_scorer_that_died_while_nobody_asked_it_is_no_receiver_of_the_next_version(rig):
    rig.publisher.publish(0)
    rig.scorers[0].worker.kill()
    rig.publisher.publish(1)
    assert rig.learner.routes[-1]["scorer-0"].receiver == "scorer-0.1"


def test_engines_may_commit_once_the_scorers_have_staged(rig):
    staged = []
    rig.engines.seen = lambda: staged.extend(scorer.worker.target.calls[-1] for scorer in rig.scorers)
    rig.publisher.publish(0)
    assert staged == ["stage", "stage"]


@pytest.mark.parametrize(("often", "fails"), [(1, False), (3, False), (4, True)])
def test_a_scorer_that_cannot_read_what_the_living_learner_sent_tries_again(often, fails):
    rig = Rig({1: [f"torn {often}"]})
    if fails:
        with pytest.raises(NeverArrived, match=r"scorer-1: .*torn.*tried 4 times") as raised:
            rig.publisher.publish(0)
        assert isinstance(raised.value, FleetError)  # the same run may go on
    else:
        assert rig.publisher.publish(0)["publish/rpcs"] == 2 + often
        assert rig.held() == [0, 0] and [scorer.restarts for scorer in rig.scorers] == [0, 0]


@pytest.mark.parametrize("fault", ["corrupt", "missing", "stale"])
def test_a_scorer_whose_receipt_is_wrong_is_replaced(fault):
    rig = Rig({1: [fault, fault]})
    assert rig.publisher.publish(0)["publish/syncs"] == 1
    assert rig.held() == [0, 0] and [scorer.restarts for scorer in rig.scorers] == [0, 2]


def test_scorers_whose_receipts_stay_wrong_end_the_run_with_the_difference():
    rig = Rig({1: ["corrupt"] * 9})
    with pytest.raises(FleetError, match=r"scorer-1.3: b has fingerprint \w+ after the publish of version 0.*\n.*was replaced 3 times"):
        rig.publisher.publish(0)


def test_a_replacement_between_two_publishes_that_loads_something_else_does_not_score():
    rig = Rig({1: ["", "corrupt"]})
    rig.publisher.publish(0)
    rig.scorers[1].kill()
    assert rig.held() == [0, 0] and rig.scorers[1].restarts == 2


def test_a_call_is_made_again_on_a_replacement_that_could_not_read_the_version():
    rig = Rig({1: ["", "torn 2"]})
    rig.publisher.publish(0)
    rig.scorers[1].kill()
    states = persist(rig.loop, [partial(scorer.call, "state") for scorer in rig.scorers], "the states")
    assert [version for version, _ in states] == [0, 0] and rig.scorers[1].restarts == 1


def test_a_replaced_scorer_is_known_by_the_name_of_its_own(rig):
    """A broadcast is for those names."""
    rig.publisher.publish(0)
    rig.scorers[1].kill()
    rig.held()
    rig.publisher.publish(1)
    assert [place.receiver for place in rig.learner.routes[-1].values()] == ["scorer-0", "scorer-1.1"]


def test_after_the_learner_is_lost_nobody_is_given_what_it_had_sent(rig):
    rig.publisher.publish(5)
    rig.learner.outbox.close()
    rig.publisher.withdraw()
    rig.scorers[0].kill()
    rig.learner.begin()
    rig.publisher.publish(3)
    assert rig.held() == [3, 3] and rig.scorers[0].restarts == 1


@pytest.mark.parametrize(("alive", "error"), [(False, LearnerLost), (True, NeverArrived)])
def test_what_cannot_be_read_because_the_learner_is_gone_is_the_learners_loss(rig, alive, error):
    rig.learner.sabotage, rig.learner.alive = rig.learner.outbox.close, alive
    with pytest.raises(error):
        rig.publisher.publish(0)


def test_a_synchronous_publish_waits_for_the_engines_and_an_overlapped_one_does_not():
    rig = Rig(engines=Engines(at_once=False))
    with pytest.raises(Overdue, match="the publish of version 0: "):
        rig.publisher.publish(0)
    rig = Rig(engines=Engines(at_once=False), max_staleness=1)
    rig.publisher.publish(0)
    assert rig.held() == [0, 0] and rig.engines.version is None
    with pytest.raises(Overdue, match="the publish of the version before: "):
        rig.publisher.publish(1)
    assert [version for version, _ in rig.learner.sent] == [0]


def test_an_overlapped_publish_is_reported_with_the_next_one_when_it_has_ended():
    rig = Rig(engines=Engines(at_once=False), max_staleness=1)
    assert rig.publisher.publish(0) == {"publish/syncs": 0.0}
    rig.engines.take()
    of_the_first = rig.publisher.publish(1)
    assert of_the_first["publish/syncs"] == 1 and of_the_first["publish/seconds_paused"] == 3.0 and of_the_first["publish/seconds"] > 100
    rig.engines.take(proven=False)
    assert rig.publisher.publish(2)["publish/syncs"] == 0, "an engine serves without a receipt"
    rig.engines.take()
    rig.publisher.withdraw()
    assert rig.publisher.publish(1) == {"publish/syncs": 0.0}, "what was withdrawn"


def test_the_present_version_is_sent_once_more_to_everybody(rig):
    rig.publisher.publish(2)
    rig.publisher.again()
    assert [delivery.parcel.version for delivery in rig.engines.deliveries] == [2, 2]
    assert rig.held() == [2, 2] and [version for version, _ in rig.learner.sent] == [2, 2]
