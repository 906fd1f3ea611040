"""The driver's event loop, on workers that answer in virtual time."""

from itertools import pairwise

import pytest

from ib_lpo.fleet.base import Overdue, WorkerDied
from ib_lpo.fleet.loop import TICK_S, EventLoop, Limit
from tools.sim.fleet import SimFleet


class Sleeper:
    """Answers with what it was given, after that many seconds."""

    def sleep(self, value, seconds):
        return value, seconds


@pytest.fixture
def fleet():
    return SimFleet()


@pytest.fixture
def loop(fleet):
    return EventLoop(fleet, deadline_s=50.0, now=fleet.now)


@pytest.fixture
def workers(fleet):
    return [fleet.host(f"worker-{i}", Sleeper()) for i in range(3)]


def test_what_is_awaited_comes_back_in_order_and_handlers_run_meanwhile(loop, fleet, workers):
    heard = []

    def go_on(pending):
        heard.append((pending.result(), round(fleet.clock)))
        if len(heard) < 3:
            loop.on(workers[2].call("sleep", len(heard), 2.0), go_on)

    loop.on(workers[2].call("sleep", 0, 2.0), go_on)
    assert loop.gather([workers[0].call("sleep", "slow", 5.0), workers[1].call("sleep", "quick", 1.0)], "both") == ["slow", "quick"]
    assert heard == [(0, 2), (1, 4)]
    loop.until(lambda: len(heard) == 3, "the third")
    assert heard[-1] == (2, 6)


def test_a_failure_is_raised_at_once_whoever_else_is_waited_for(loop, fleet, workers):
    pending = [worker.call("sleep", None, 30.0) for worker in workers]
    fleet.at(2.0, workers[1].kill)
    with pytest.raises(WorkerDied, match="worker-1 is gone"):
        loop.gather(pending, "all")
    assert fleet.clock == pytest.approx(2.0, abs=0.5)


def test_who_is_waited_for_in_vain_is_named(loop, workers):
    pending = [worker.call("sleep", None, 90.0) for worker in (workers[0], workers[1], workers[1])]
    with pytest.raises(Overdue, match=r"all: waited 20 s in vain for worker-0.sleep, worker-1.sleep \(2 calls\).*a.limit"):
        loop.gather(pending, "all", Limit(20.0, "a.limit"))
    loop.on(workers[2].call("sleep", None, 90.0), lambda pending: None)
    with pytest.raises(Overdue, match=r"the rest: .* worker-2.sleep; if that is work, raise cluster.call_deadline_s"):
        loop.until(lambda: False, "the rest")


def test_what_a_handler_raises_ends_the_wait(loop, workers):
    def broken(pending):
        raise RuntimeError("broken")

    loop.on(workers[0].call("sleep", None, 1.0), broken)
    with pytest.raises(RuntimeError, match="broken"):
        loop.gather([workers[1].call("sleep", None, 5.0)], "the other")


def always(loop, worker, seconds):
    """A worker that is asked again whenever it answers."""

    def again(pending):
        pending.result()
        loop.on(worker.call("sleep", None, seconds), again)

    loop.on(worker.call("sleep", None, seconds), again)


def test_a_deadline_holds_however_much_else_happens(loop, fleet, workers):
    always(loop, workers[0], 3.0)
    with pytest.raises(Overdue, match=r"the slow one: waited 20 s in vain for worker-1\.sleep"):
        loop.gather([workers[1].call("sleep", None, 1000.0)], "the slow one", Limit(20.0, "a.limit"))
    assert fleet.clock == pytest.approx(20.0, abs=1.0)
    with pytest.raises(Overdue):
        loop.gather([workers[1].call("sleep", None, 1000.0)], "the slow one")
    assert fleet.clock == pytest.approx(70.0, abs=1.0)


def test_waiting_for_a_state_ends_only_when_nothing_happens(loop, fleet, workers):
    always(loop, workers[0], 40.0)
    loop.until(lambda: fleet.clock > 300.0, "a long time")
    workers[0].kill()
    with pytest.raises(WorkerDied):
        loop.until(lambda: False, "nothing")
    heard, began = [], fleet.clock
    loop.on(workers[1].call("sleep", None, 45.0), heard.append)
    with pytest.raises(Overdue, match="nothing: waited 50 s in vain for nothing"):
        loop.until(lambda: False, "nothing")
    assert heard and fleet.clock - began == pytest.approx(95.0, abs=2.0)


def test_an_answer_that_waited_for_the_driver_is_heard_before_the_clock_is_looked_at(loop, fleet, workers):
    told = []
    loop.every_tick(lambda: told.append("tick"))
    loop.on(workers[0].call("sleep", None, 1.0), lambda pending: told.append("answer"))
    fleet.clock += 100.0  # the driver was busy
    loop.until(lambda: "answer" in told, "the answer")
    assert told == ["answer"] or told[:2] == ["answer", "tick"]


def test_the_clock_is_looked_at_while_nothing_answers(loop, fleet, workers):
    seen = []
    loop.every_tick(lambda: seen.append(fleet.clock))
    loop.gather([workers[0].call("sleep", None, 30.0)], "a long call")
    gaps = [after - before for before, after in pairwise(seen)]
    assert len(seen) >= 25 and max(gaps) < 2 * TICK_S
