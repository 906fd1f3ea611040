"""The Ray fleet: deadlines, deaths and clean-up."""

import os
import signal
import time

import psutil
import pytest

from ib_lpo.errors import UserError
from ib_lpo.fleet.base import FleetError
from ib_lpo.fleet.config import ClusterConfig
from ib_lpo.fleet.ray import RayFleet

pytestmark = pytest.mark.slow


class Echo:
    def pid(self):
        return os.getpid()

    def say(self, value, delay=0.0):
        time.sleep(delay)
        return value

    def fail(self):
        raise KeyError("inner")

    def variable(self, name):
        return os.environ.get(name)


class Stillborn:
    def __init__(self):
        raise UserError("some.key=3: does not fit; use 2")

    def ready(self):
        return True


class Asker:
    """A worker that waits for other workers."""

    def __init__(self, fleet, others):
        self.fleet, self.others = fleet, others

    def first(self):
        pending = [other.call("say", i, 0.5 * (len(self.others) - i)) for i, other in enumerate(self.others)]
        return self.fleet.wait_any(pending).result()


@pytest.fixture(scope="module")
def fleet():
    fleet = RayFleet(ClusterConfig(cpus=2, call_deadline_s=60))
    yield fleet
    fleet.shutdown()


def test_calls_arguments_by_reference_and_environment(fleet):
    worker = fleet.spawn(Echo, name="echo", env={"IB_LPO_TEST": "yes"})
    assert worker.call("say", fleet.put([1, 2])).result() == [1, 2]
    assert worker.call("variable", "IB_LPO_TEST").result() == "yes"


def test_a_worker_can_wait_for_workers(fleet):
    others = [fleet.spawn(Echo, name=f"other-{i}") for i in range(2)]
    for other in others:
        other.call("pid").result()
    assert fleet.spawn(Asker, fleet, others, name="asker").call("first").result() == 1


def test_an_error_keeps_its_type(fleet):
    with pytest.raises(KeyError, match="inner"):
        fleet.spawn(Echo, name="echo").call("fail").result()


def test_a_user_error_at_birth_is_the_same_line(fleet):
    with pytest.raises(UserError, match=r"^some\.key=3: does not fit; use 2$"):
        fleet.spawn(Stillborn, name="stillborn").call("ready").result()


def test_a_deadline_names_worker_and_call(fleet):
    worker = fleet.spawn(Echo, name="sleeper")
    with pytest.raises(FleetError, match=r"sleeper\.say: no answer within 1 s"):
        worker.call("say", 1, 30).result(1)
    with pytest.raises(FleetError, match="none answered within 1 s"):
        fleet.wait_any([worker.call("say", 1, 30)], 1)


def test_kill_9_is_an_error_that_names_the_worker(fleet):
    worker = fleet.spawn(Echo, name="victim")
    pid = worker.call("pid").result()
    waiting = worker.call("say", 1, 60)
    os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    with pytest.raises(FleetError, match=r"victim\.say: the worker died"):
        waiting.result(30)
    assert time.monotonic() - began < 20


def test_shutdown_leaves_no_process():
    import subprocess
    import sys

    script = (
        "import time\n"
        "from ib_lpo.fleet.config import ClusterConfig\n"
        "from ib_lpo.fleet.ray import RayFleet\n"
        "from tests.fleet.test_ray import Echo\n"
        "fleet = RayFleet(ClusterConfig(cpus=1))\n"
        "print(fleet.spawn(Echo, name='e').call('pid').result(), flush=True)\n"
        "time.sleep(600)\n"
    )
    driver = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": "."})
    pid = int(driver.stdout.readline())
    assert psutil.pid_exists(pid)
    driver.kill()
    driver.wait()
    deadline = time.monotonic() + 60
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not psutil.pid_exists(pid)
