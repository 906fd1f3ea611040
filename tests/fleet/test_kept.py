"""Workers that are replaced when they die: every call is answered once, by a prepared worker."""

import os
import signal
import time

import pytest

from ib_lpo.errors import UserError
from ib_lpo.fleet.base import DataFailure, Overdue, WorkerDied, successor
from ib_lpo.fleet.kept import Kept
from tests.fleet.echo import Counter


class Call:
    """A pending whose end the test decides."""

    def __init__(self, worker, method):
        self.worker, self.method, self.ref = worker, method, object()
        self.value = self.error = None
        self.done = False

    def result(self, deadline_s=None):
        if not self.done:
            raise Overdue(f"{self.worker}.{self.method}: no answer")
        if self.error is not None:
            raise self.error
        return self.value

    def end(self, value=None, error=None):
        self.done, self.value, self.error = True, value, error

    def die(self, worker=None):
        self.end(error=WorkerDied(f"{self.worker}: gone", worker or self.worker))


class Hand:
    """A worker that answers when the test says so."""

    def __init__(self, name):
        self.name, self.calls, self.killed = name, [], False

    def call(self, method, *args, **kwargs):
        self.calls.append(Call(self.name, method))
        return self.calls[-1]

    def kill(self):
        self.killed = True


@pytest.fixture
def made():
    return []


@pytest.fixture
def make(made):
    def make(attempt):
        made.append(Hand(successor("service", attempt)))
        return made[-1]

    return make


def test_a_call_that_a_death_interrupted_is_made_again(make, made):
    kept = Kept(make, most=1)
    pending = kept.call("grade", 1)
    assert not pending.done
    made[0].calls[0].die()
    assert not pending.done and made[0].killed and kept.restarts == 1
    made[1].calls[0].end("graded")
    assert pending.done and pending.result() == "graded"
    assert [hand.name for hand in made] == ["service", "service.1"] and kept.name == "service"


def test_all_calls_of_a_dead_worker_share_one_replacement(make, made):
    kept = Kept(make, most=1)
    pending = [kept.call("grade", i) for i in range(3)]
    for call in made[0].calls:
        call.die()
    assert not any([one.done for one in pending]) and kept.restarts == 1
    for i, call in enumerate(made[1].calls):
        call.end(i)
    assert [one.result() for one in pending] == [0, 1, 2]


def test_a_replacement_is_prepared_before_its_calls(make, made):
    kept = Kept(make, lambda worker: [worker.call("stage"), worker.call("commit")], most=1)
    pending = kept.call("score")
    made[0].calls[0].die()
    assert not pending.done and [call.method for call in made[1].calls] == ["stage", "commit", "score"]
    stage, commit, score = made[1].calls
    score.end(7)
    assert not pending.done, "an answer counts only after the preparation"
    stage.end()
    commit.end()
    assert pending.done and pending.result() == 7


def test_a_replacement_whose_preparation_fails(make, made):
    kept = Kept(make, lambda worker: [worker.call("stage")], most=1)
    pending = kept.call("score")
    made[0].calls[0].end(error=UserError("weights: missing; publish again"))
    made[0].calls[1].end(3)
    with pytest.raises(UserError, match="weights: missing"):
        pending.result()


def test_no_replacement_is_left(make, made):
    kept = Kept(make, most=2)
    pending = kept.call("grade")
    for attempt in range(3):
        made[attempt].calls[0].die()
        assert pending.done is (attempt == 2)
    with pytest.raises(WorkerDied, match=r"service\.2: gone\nservice was replaced 2 times \(cluster\.most_restarts=2\)"):
        pending.result()


def test_other_errors_are_not_tried_again(make, made):
    kept = Kept(make, most=5)
    for error in (UserError("mend it"), DataFailure("bad item"), WorkerDied("engine-0: gone", "engine-0")):
        pending = kept.call("grade")
        made[0].calls[-1].end(error=error)
        assert pending.done
        with pytest.raises(type(error)) as raised:
            pending.result()
        assert raised.value is error
    assert kept.restarts == 0


def test_a_deadline_changes_nothing(make, made):
    pending = Kept(make, most=1).call("grade")
    with pytest.raises(Overdue):
        pending.result(0.1)
    made[0].calls[0].end("late")
    assert pending.result() == "late"


@pytest.mark.slow
def test_a_real_service_that_is_killed_in_a_call_and_between_calls(fleet):
    kept = Kept(lambda i: fleet.spawn(Counter, name=successor("counter", i)), lambda worker: [worker.call("set", 40)], most=3)
    assert kept.call("add", 2).result() == 42
    os.kill(kept.call("pid").result(), signal.SIGKILL)
    pending = [kept.call("add", i) for i in range(3)]
    found = []
    while len(found) < 3:
        some = fleet.wait_some([one for one in pending if one not in found], 30)
        assert some
        found += some
    assert sorted(one.result() for one in pending) == [40, 41, 42] and kept.restarts == 1
    kept.kill()
    deadline = time.monotonic() + 30
    while kept.restarts < 2:  # until the process is gone, it may answer
        assert fleet.wait_any([kept.call("add", 5)]).result() == 45 and time.monotonic() < deadline
    with pytest.raises(WorkerDied, match=r"RuntimeError: always(.|\n)*counter was replaced 3 times"):
        kept.call("fail").result()


def test_a_preparation_that_failed_is_made_anew_by_the_next_call(make, made):
    prepared = []

    def prepare(worker):
        prepared.append(worker.call("take"))
        return [prepared[-1]]

    kept = Kept(make, prepare, most=1)
    first = kept.call("score")
    prepared[0].end(error=DataFailure("the weights are gone"))
    made[0].calls[-1].end(error=RuntimeError("not reached"))
    with pytest.raises(DataFailure, match="gone"):
        first.result()
    second = kept.call("score")
    prepared[1].end()
    made[0].calls[-1].end("scored")
    assert second.result() == "scored" and len(prepared) == 2 and len(made) == 1
