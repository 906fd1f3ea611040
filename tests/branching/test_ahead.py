"""Steps that grow ahead: how many, from which version on, and with which batches."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.branching.ahead import Ahead
from ib_lpo.branching.draws import Draws
from ib_lpo.branching.openness import PastForks
from ib_lpo.manifest import validate
from ib_lpo.tree import Question, RolloutTree

STEPS, WANTED = 7, 2


class Scheduler:
    """Grows what the test says, when it says so."""

    def __init__(self):
        self.version = None
        self.growing = []  # (step, batch number, on_done)
        self.begun = []  # (step, batch number, version at that time)

    def grow(self, step, batch, questions, on_done, past):
        self.growing.append((step, questions, on_done))
        self.begun.append((step, batch, self.version))

    def wait(self, holds, what):
        assert holds(), f"the test did not bring about {what}"

    def finish(self, at, signal):
        _, questions, on_done = self.growing.pop(at)
        on_done(Grown([tree(question, signal) for question in questions]))


class Grown:
    allocation = None

    def __init__(self, trees):
        self.trees = trees


class Rewarded:
    def __init__(self, reward):
        self.reward = reward


def tree(question, signal):
    grown = RolloutTree(question=question)
    grown.trajectories = [Rewarded(1.0), Rewarded(0.0 if signal else 1.0)]
    return grown


def questions(batch):
    return [Question(id=f"b{batch}q{i}", text="", answer="", prompt_ids=(1,), answer_ids=()) for i in range(WANTED)]


def start(max_staleness, batches_per_step=1, draws=None):
    values = {"name": "a", "steps": STEPS, "max_staleness": max_staleness, "model": {"path": "m"}}
    manifest = validate(values | {"data": {"questions_per_step": WANTED, "batches_per_step": batches_per_step}})
    scheduler, draws = Scheduler(), draws or Draws()
    return scheduler, draws, Ahead(manifest, scheduler, draws, questions, PastForks())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3), st.integers(1, 3), st.data())
def test_the_bound_holds_and_every_batch_is_drawn_once(max_staleness, budget, data):
    """Whatever grows fast or slowly, with signal or without."""
    scheduler, draws, ahead = start(max_staleness, budget)
    scheduler.version = 0
    trained = []

    def grow_something():
        at = data.draw(st.integers(0, len(scheduler.growing) - 1))
        scheduler.finish(at, data.draw(st.booleans()))

    scheduler.wait = lambda holds, what: [grow_something() for _ in iter(lambda: holds(), True)]
    for step in range(1, STEPS + 1):
        harvest = ahead.take(step)
        assert harvest.complete and {number for s, number, _ in scheduler.begun if s == step}
        trained += [one.question.id for one in harvest.grown]
        for _ in range(data.draw(st.integers(0, len(scheduler.growing)))):
            grow_something()
        draws.finished(step)
        scheduler.version = step
        ahead.published(step)
        assert len({s for s, *_ in scheduler.growing}) <= max_staleness + 1
    assert len(trained) == len(set(trained))
    assert sorted(number for _, number, _ in scheduler.begun) == list(range(len(scheduler.begun)))
    for step, _, version in scheduler.begun:
        assert step - 1 - max_staleness <= version
    assert not scheduler.growing and max(step for step, *_ in scheduler.begun) == STEPS


def test_a_synchronous_step_begins_when_it_is_asked_for():
    scheduler, _, ahead = start(0)
    scheduler.version = 0
    ahead.published(0)
    assert scheduler.begun == []
    scheduler.wait = lambda holds, what: [scheduler.finish(0, True) for _ in iter(lambda: holds(), True)]
    ahead.take(1)
    scheduler.version = 1
    ahead.published(1)
    assert scheduler.begun == [(1, 0, 0)]


def test_steps_ahead_begin_with_the_version_that_lets_them():
    scheduler, _, ahead = start(2)
    scheduler.version = 0
    scheduler.wait = lambda holds, what: [scheduler.finish(0, True) for _ in iter(lambda: holds(), True)]
    ahead.take(1)
    assert scheduler.begun == [(1, 0, 0), (2, 1, 0), (3, 2, 0)]
    scheduler.version = 1
    ahead.published(1)
    ahead.published(1)
    assert scheduler.begun[3:] == [(4, 3, 1)]


def test_nothing_grows_before_the_first_version():
    scheduler, _, ahead = start(1)
    with pytest.raises(AssertionError, match="the first publish"):
        ahead.take(1)
    assert scheduler.begun == []


def test_a_run_that_goes_on_draws_what_its_unfinished_steps_drew():
    scheduler, draws, ahead = start(2)
    scheduler.version = 0
    scheduler.wait = lambda holds, what: [scheduler.finish(0, True) for _ in iter(lambda: holds(), True)]
    ahead.take(1)
    draws.finished(1)
    resumed, _, ahead = start(2, draws=Draws.of(draws.state()))
    resumed.version = 1
    resumed.wait = lambda holds, what: [resumed.finish(0, True) for _ in iter(lambda: holds(), True)]
    ahead.take(2)
    assert [(step, number) for step, number, _ in resumed.begun] == [(2, 1), (3, 2), (4, 3)]


@pytest.mark.parametrize("signal", [True, False])
def test_nothing_begins_to_grow_after_the_end(signal):
    """Neither further steps nor further batches of a step that grows; what was drawn is drawn again by a run that goes on."""
    scheduler, draws, ahead = start(1, batches_per_step=3)
    scheduler.version = 0
    scheduler.wait = lambda holds, what: [scheduler.finish(0, True) for _ in iter(lambda: holds(), True)]
    ahead.take(1)
    ahead.end()
    scheduler.version = 1
    ahead.published(1)
    begun = [(1, 0, 0), (2, 1, 0)]
    assert scheduler.begun == begun and len(scheduler.growing) == 1
    scheduler.finish(0, signal)
    assert scheduler.begun == begun and not scheduler.growing
    draws.finished(1)
    assert draws.state()["unfinished"] == {"2": [1]}
