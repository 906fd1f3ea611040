"""The Ray fleet: what passes between processes, waiting, deaths and clean-up."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from ib_lpo.errors import UserError
from ib_lpo.fleet.base import DataFailure, Overdue, WorkerDied
from tests.fleet.echo import SECRET, Asker, Echo, Stillborn

pytestmark = pytest.mark.slow


def test_calls_arguments_by_reference_and_environment(fleet):
    worker = fleet.spawn(Echo, name="echo", env={"IB_LPO_TEST": "yes"})
    assert worker.call("say", fleet.put([1, 2])).result() == [1, 2]
    assert worker.call("say", value=fleet.put([3])).result() == [3]
    assert worker.call("variable", "IB_LPO_TEST").result() == "yes"
    assert worker.call("variable", "GLOO_SOCKET_IFNAME").result() == "lo", "what all workers of a private Ray get"


def test_a_secret_is_not_handed_to_ray(fleet):
    with pytest.raises(ValueError, match="WANDB_API_KEY must come with the environment") as raised:
        fleet.spawn(Echo, name="echo", env={"WANDB_API_KEY": SECRET})
    assert SECRET not in str(raised.value)


def test_a_worker_can_wait_for_workers(fleet):
    others = [fleet.spawn(Echo, name=f"other-{i}") for i in range(2)]
    for other in others:
        other.call("pid").result()
    assert fleet.spawn(Asker, fleet, others, name="asker").call("first").result() == 1


def test_waiting_for_some_gives_all_that_are_done(fleet):
    quick, slow = fleet.spawn(Echo, name="quick"), fleet.spawn(Echo, name="slow")
    for worker in (quick, slow):
        worker.call("pid").result()
    late, first, second = slow.call("say", 0, 1.5), quick.call("say", 1), quick.call("say", 2)
    second.result()
    assert fleet.wait_some([late, first, second], 30) == [first, second] and not late.done
    began = time.monotonic()
    assert fleet.wait_some([late], 0.1) == [] and fleet.wait_some([], 0.1) == []
    assert 0.2 <= time.monotonic() - began < 1.0
    assert fleet.wait_some([late]) == [late] and late.done


@pytest.mark.parametrize(("kind", "error"), [("user", UserError), ("data", DataFailure)])
def test_a_failure_that_is_not_the_workers_keeps_its_type_and_the_worker(fleet, kind, error):
    worker = fleet.spawn(Echo, name="echo")
    with pytest.raises(UserError, match=f"^{kind}: not like this; do that$") as raised:
        worker.call("refuse", kind).result()
    assert type(raised.value) is error
    assert worker.call("say", 1).result() == 1


def test_any_other_failure_makes_the_worker_unfit_with_traceback_and_stderr(fleet):
    worker = fleet.spawn(Echo, name="engine-7")
    for method in ("fail", "pid"):
        with pytest.raises(WorkerDied) as raised:
            worker.call(method).result()
        assert raised.value.worker == "engine-7"
        assert all(text in str(raised.value) for text in ("engine-7.fail", "KeyError: 'inner'", "in fail", "| about to fail", "7.err"))


def test_a_death_behind_a_worker_names_the_dead_one(fleet):
    other = fleet.spawn(Echo, name="behind")
    asker = fleet.spawn(Asker, fleet, [other], name="before")
    with pytest.raises(WorkerDied) as raised:
        asker.call("pass_on", "fail").result()
    assert raised.value.worker == "behind"
    with pytest.raises(WorkerDied):
        asker.call("pass_on", "pid").result()  # it still answers: its own state is not in doubt


def test_a_failed_birth_is_told_by_every_call(fleet):
    line = "some.key=3: does not fit; use 2"
    worker = fleet.spawn(Stillborn, UserError(line), name="stillborn")
    for _ in range(2):
        with pytest.raises(UserError, match=f"^{line}$"):
            worker.call("ready").result()
    with pytest.raises(WorkerDied, match=r"unfit-child\.start: the worker is unfit: OSError: no such device"):
        fleet.spawn(Stillborn, OSError("no such device"), name="unfit-child").call("ready").result()


def test_a_deadline_names_worker_and_call(fleet):
    worker = fleet.spawn(Echo, name="sleeper")
    pending = worker.call("say", 1, 3)
    with pytest.raises(Overdue, match=r"sleeper\.say: no answer within 1 s"):
        pending.result(1)
    with pytest.raises(Overdue, match=r"sleeper\.say: none answered within 0 s"):
        fleet.wait_any([pending], 0.2)
    assert pending.result() == 1, "the worker was alive all the time"


def test_kill_9_names_the_worker_within_a_second_and_shows_its_stderr(fleet):
    worker = fleet.spawn(Echo, name="victim")
    pid = worker.call("pid").result()
    waiting = worker.call("moan_and_wait", "the last words")
    log = fleet.log_dir / "victim.err"
    deadline = time.monotonic() + 30
    while "last words" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    assert fleet.wait_some([waiting], 20) == [waiting]
    assert time.monotonic() - began < 2
    for pending in (waiting, worker.call("say", 1)):
        with pytest.raises(WorkerDied, match=r"victim\.\w+: the worker died: (.|\n)*\| the last words") as raised:
            pending.result()
        assert raised.value.worker == "victim"


def test_a_crash_leaves_its_stack(fleet):
    with pytest.raises(WorkerDied, match="Fatal Python error: Aborted"):
        fleet.spawn(Echo, name="crash").call("abort").result()


def test_a_stopped_worker_is_overdue_until_it_is_killed(fleet):
    worker = fleet.spawn(Echo, name="stopped", cpus=2)
    pid = worker.call("pid").result()
    os.kill(pid, signal.SIGSTOP)
    waiting = worker.call("say", 1)
    with pytest.raises(Overdue, match=r"stopped\.say"):
        waiting.result(1)
    fleet.kill(worker)
    fleet.kill(worker)
    with pytest.raises(WorkerDied, match="stopped"):
        waiting.result(30)
    replacement = fleet.spawn(Echo, name="stopped.1", cpus=2)
    assert replacement.call("say", 1).result() == 1
    assert not psutil.pid_exists(pid), "its place is free only once the process is gone"
    fleet.kill(replacement)


def test_a_private_ray_keeps_the_environments_secrets_and_is_reached_from_this_machine_alone(tmp_path):
    """In a process of its own: workers get the environment that Ray was started in."""
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from ib_lpo.fleet.base import WorkerDied\nfrom ib_lpo.fleet.config import ClusterConfig\nfrom ib_lpo.fleet.ray import RayFleet\n"
        "from tests.fleet.echo import SECRET, Echo\nfrom tests.fleet.listening import outward\n"
        "fleet = RayFleet(ClusterConfig(cpus=1), Path(sys.argv[1]))\n"
        "worker = fleet.spawn(Echo, name='e')\n"
        "assert worker.call('variable', 'FLEET_TEST_TOKEN').result() == SECRET\n"
        "worker.call('moan', f'header: {SECRET}!').result()\n"
        "assert outward() == [], outward()\n"
        "try:\n    worker.call('fail', f'refused {SECRET}').result()\n"
        "except WorkerDied as died:\n    print(died)\n"
        "fleet.shutdown()\n"
    )
    environment = os.environ | {"PYTHONPATH": ".", "FLEET_TEST_TOKEN": SECRET}
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "refused ***" in done.stdout and "| header: ***" in done.stdout.replace("*" * len(SECRET), "***")
    kept = "".join(path.read_text() for path in tmp_path.iterdir())
    assert "header: *" in kept and SECRET not in kept + done.stdout + done.stderr


def test_shutdown_leaves_no_process():
    script = (
        "import time\n"
        "from ib_lpo.fleet.config import ClusterConfig\n"
        "from ib_lpo.fleet.ray import RayFleet\n"
        "from tests.fleet.echo import Echo\n"
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
