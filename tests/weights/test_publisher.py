"""Every version to everybody who holds a copy, whoever of the scorers is replaced on the way."""

import pytest
import torch

from ib_lpo.fleet.base import Overdue, successor
from ib_lpo.fleet.kept import Kept
from ib_lpo.fleet.local import LocalFleet
from ib_lpo.fleet.loop import EventLoop
from ib_lpo.learner.group import LearnerLost
from ib_lpo.manifest import validate
from ib_lpo.weights.config import WeightsConfig
from ib_lpo.weights.outbox import Outbox
from ib_lpo.weights.parcel import TransferError
from ib_lpo.weights.publisher import Publisher
from tests.weights.holder import SHAPES, Holder, policy


class Learner:
    """Sends from this process; `sabotage` comes between the sending and the receivers."""

    def __init__(self):
        self.sent, self.alive, self.sabotage = [], True, lambda: None
        self.begin()

    def begin(self):
        self.outbox = Outbox(SHAPES.items(), dtype=torch.float32, config=WeightsConfig(transport="shm"), device="cpu")

    def publish(self, version, route):
        self.sent.append((version, sorted(route.places)))
        parcel = self.outbox.send(version, policy(version).items(), route)
        self.sabotage()
        return parcel

    def require_alive(self):
        if not self.alive:
            raise LearnerLost("learner-0.ready: the worker died", "learner-0")


class Engines:
    """Take a version when the test says so."""

    def __init__(self, at_once=True):
        self.version, self.receipts, self.parcels, self.at_once = None, [], [], at_once
        self.places, self.publishing = {}, False

    def publish(self, parcel):
        self.parcels.append(parcel)
        if self.at_once:
            self.version = parcel.version


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
        assert metrics["publish/syncs"] == 1 and metrics["publish/seconds_paused"] == 0.25
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


def test_after_the_learner_is_lost_nobody_is_given_what_it_had_sent(rig):
    rig.publisher.publish(5)
    rig.learner.outbox.close()
    rig.publisher.withdraw()
    rig.scorers[0].kill()
    rig.learner.begin()
    rig.publisher.publish(3)
    assert rig.held() == [3, 3] and rig.scorers[0].restarts == 1


@pytest.mark.parametrize(("alive", "error"), [(False, LearnerLost), (True, TransferError)])
def test_what_cannot_be_read_because_the_learner_is_gone_is_the_learners_loss(rig, alive, error):
    rig.learner.sabotage, rig.learner.alive = rig.learner.outbox.close, alive
    with pytest.raises(error):
        rig.publisher.publish(0)


def test_a_synchronous_publish_waits_for_the_engines_and_an_overlapped_one_does_not():
    rig = Rig(engines=Engines(at_once=False))
    with pytest.raises(Overdue, match="the publish of version 0: not done in time"):
        rig.publisher.publish(0)
    rig = Rig(engines=Engines(at_once=False), max_staleness=1)
    rig.publisher.publish(0)
    assert rig.held() == [0, 0] and rig.engines.version is None
    rig.engines.publishing = True
    with pytest.raises(Overdue, match="the publish of the version before: not done in time"):
        rig.publisher.publish(1)
    assert [version for version, _ in rig.learner.sent] == [0]


def test_the_present_version_is_sent_once_more_to_everybody(rig):
    rig.publisher.publish(2)
    rig.publisher.again()
    assert [parcel.version for parcel in rig.engines.parcels] == [2, 2]
    assert rig.held() == [2, 2] and [version for version, _ in rig.learner.sent] == [2, 2]
