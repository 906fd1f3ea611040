"""One process at a time on a run directory; a lock whose process is gone holds nobody up."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ib_lpo import run_lock
from ib_lpo.errors import UserError
from ib_lpo.run_lock import locked

HOLD = (
    "import sys, time; from pathlib import Path; from ib_lpo.run_lock import locked\n"
    "with locked(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(600)"
)


@pytest.fixture
def directory(tmp_path) -> Path:
    return tmp_path / "runs" / "x"


def lock_file(directory: Path) -> Path:
    return directory.parent / ".x.lock"


def left_over(directory: Path, *, seconds_ago: float = 0.0, **holder) -> None:
    """The lock file of a process, as a file system without locks shows it."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    lock_file(directory).write_text(json.dumps({"host": socket.gethostname(), "since": "yesterday"} | holder))
    os.utime(lock_file(directory), (time.time() - seconds_ago,) * 2)


def refused(directory: Path, match: str) -> None:
    with pytest.raises(UserError, match=match) as caught, locked(directory):
        pytest.fail("two processes on one run")
    assert "\n" not in str(caught.value)


@pytest.fixture
def holder(directory):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(directory)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_refused_and_told_who_holds_it(directory, holder):
    refused(directory, rf"x: is in use by process {holder.pid} on {socket.gethostname()}, since .*\.x\.lock\); wait for it to end")


def test_whoever_is_killed_leaves_no_obstacle(directory, holder, capsys):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(directory):
        assert json.loads(lock_file(directory).read_text())["pid"] == os.getpid()
    assert f"pid {holder.pid}) is gone" in " ".join(capsys.readouterr().out.split())


def test_nothing_is_left_and_it_can_be_taken_again(directory):
    for _ in range(2):
        with locked(directory):
            refused(directory, "in use by process")
        assert not lock_file(directory).exists()


def test_a_parent_that_nothing_came_into_goes_again(directory):
    with locked(directory):
        assert directory.parent.exists()
    assert not directory.parent.exists()
    with locked(directory):
        directory.mkdir()
    assert directory.exists()


def test_it_holds_while_the_directory_is_set_aside(directory):
    directory.mkdir(parents=True)
    with locked(directory):
        directory.rename(directory.with_name("x.1"))
        refused(directory, "in use")


def test_other_directories_are_free(directory):
    with locked(directory), locked(directory.with_name("x-latent")), locked(directory.with_name("y")):
        pass


def test_an_error_gives_it_back(directory):
    with pytest.raises(RuntimeError), locked(directory):
        raise RuntimeError
    with locked(directory):
        pass


def test_a_pid_that_is_another_process_by_now_is_stale(directory):
    left_over(directory, pid=os.getppid(), started="an-earlier-boot+17")
    with locked(directory):
        pass


def test_without_locks_of_the_file_system_the_content_decides(directory):
    left_over(directory, pid=os.getppid(), started=run_lock._started(os.getppid()))
    refused(directory, f"process {os.getppid()} on .*, since yesterday")


@pytest.mark.parametrize(("renewed", "held"), [(True, True), (False, False)])
def test_another_host_holds_it_as_long_as_it_renews_it(directory, monkeypatch, renewed, held):
    monkeypatch.setattr(run_lock, "SILENT_S", 10.0 if held else 0.3)
    left_over(directory, host="elsewhere", pid=1, started="x")
    if renewed:
        threading.Timer(0.2, lambda: os.utime(lock_file(directory), (0, 0))).start()
    if held:
        refused(directory, "process 1 on elsewhere")
    else:
        with locked(directory):
            pass


def test_another_host_that_is_long_silent_is_not_waited_for(directory, capsys):
    left_over(directory, host="elsewhere", pid=1, started="x", seconds_ago=600.0)
    with locked(directory):
        pass
    assert "looking for" not in capsys.readouterr().out


def test_a_holder_renews_it(directory, monkeypatch):
    monkeypatch.setattr(run_lock, "BEAT_S", 0.02)
    with locked(directory):
        os.utime(lock_file(directory), (0, 0))
        ends = time.monotonic() + 20
        while lock_file(directory).stat().st_mtime == 0 and time.monotonic() < ends:
            time.sleep(0.01)
        assert lock_file(directory).stat().st_mtime > 0


@pytest.mark.parametrize("content", ["", "no json", "[1]", "{}"])
def test_a_damaged_lock_is_no_obstacle(directory, content):
    directory.parent.mkdir(parents=True)
    lock_file(directory).write_text(content)
    with locked(directory):
        pass


def test_of_many_that_start_at_once_one_gets_it(directory):
    processes = [
        subprocess.Popen([sys.executable, "-c", HOLD, str(directory)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    ends = time.monotonic() + 120
    while sum(one.poll() is None for one in processes) > 1 and time.monotonic() < ends:
        time.sleep(0.05)
    held = [one for one in processes if one.poll() is None]
    assert len(held) == 1 and held[0].stdout.readline() == "held\n"
    held[0].kill()
    for one in processes:
        one.communicate()
