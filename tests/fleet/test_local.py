"""The in-process fleet has the same types of failure."""

import pytest

from ib_lpo.errors import UserError
from ib_lpo.fleet.base import DataFailure, WorkerDied
from ib_lpo.fleet.local import LocalFleet
from tests.fleet.echo import Echo, Stillborn


def test_values_references_and_waiting():
    fleet = LocalFleet()
    worker = fleet.spawn(Echo, name="echo")
    calls = [worker.call("say", fleet.put([i])) for i in range(2)]
    assert fleet.wait_some(calls, 0.0) == calls and fleet.wait_any(calls) is calls[0]
    assert [call.result() for call in calls] == [[0], [1]] and calls[0].done
    assert len(set(calls)) == 2 and fleet.wait_some([], 0.01) == []


def test_failures_have_the_types_of_a_process_and_the_cause():
    fleet = LocalFleet()
    worker = fleet.spawn(Echo, name="echo")
    with pytest.raises(DataFailure, match=r"^data: not like this"):
        worker.call("refuse", "data").result()
    with pytest.raises(WorkerDied, match=r"echo\.fail: the worker is unfit: KeyError: 'inner'") as raised:
        worker.call("fail").result()
    assert isinstance(raised.value.__cause__, KeyError) and raised.value.worker == "echo"
    with pytest.raises(WorkerDied, match=r"echo\.fail"):
        worker.call("say", 1).result()


def test_a_failed_birth_is_told_by_the_first_call():
    worker = LocalFleet().spawn(Stillborn, UserError("key=1: use 2"), name="stillborn")
    with pytest.raises(UserError, match=r"^key=1: use 2$"):
        worker.call("ready").result()


def test_a_killed_worker_is_closed_and_answers_nothing():
    closed = []
    fleet = LocalFleet()
    worker = fleet.spawn(type("Closing", (), {"close": lambda self: closed.append(1)}), name="closing")
    fleet.kill(worker)
    fleet.kill(worker)
    with pytest.raises(WorkerDied, match=r"closing\.ready: the worker was killed"):
        worker.call("ready").result()
    fleet.shutdown()
    assert closed == [1]
