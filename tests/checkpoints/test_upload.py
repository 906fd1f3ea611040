"""Uploads: in the background, one at a time, the newest next, no failure silent."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from ib_lpo.checkpoints.config import CheckpointConfig
from ib_lpo.checkpoints.directory import complete
from ib_lpo.checkpoints.shelf import Checkpoints
from ib_lpo.checkpoints.upload import Uploader


def command(code: str) -> str:
    return f'{sys.executable} -c "{code}" {{path}} {{name}} {{step}}'


COPY = "import sys; open(sys.argv[1] + '/told', 'w').write(' '.join(sys.argv[2:]))"
WAIT = "import sys, os, time\nwhile not os.path.exists(sys.argv[1] + '/go'): time.sleep(0.01)"


def until(uploader, condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the upload did not get there"
        time.sleep(0.01)
        uploader.poll()


def places(tmp_path, count):
    found = [tmp_path / f"step {n}" for n in range(count)]  # blanks in a path stay one argument
    for path in found:
        path.mkdir()
    return found


def test_the_command_runs_with_path_name_and_step(tmp_path):
    (path,) = places(tmp_path, 1)
    uploader = Uploader(command(COPY), name="my run", deadline_s=30)
    uploader.submit(path, 7)
    assert uploader.busy == {path}
    until(uploader, lambda: not uploader.busy)
    assert (path / "told").read_text() == "my run 7" and (path / "uploaded").exists()
    assert (uploader.uploads, uploader.failures, uploader.superseded) == (1, 0, 0)


def test_one_at_a_time_and_the_newest_next(tmp_path):
    first, second, third = places(tmp_path, 3)
    uploader = Uploader(command(WAIT), name="r", deadline_s=30)
    for step, path in enumerate((first, second, third)):
        began = time.monotonic()
        uploader.submit(path, step)
        assert time.monotonic() - began < 5, "it waits for nothing"
    assert uploader.busy == {first, third} and uploader.superseded == 1
    (first / "go").touch()
    until(uploader, lambda: uploader.uploads == 1)
    assert uploader.busy == {third}
    (third / "go").touch()
    uploader.close()
    assert (uploader.uploads, uploader.failures) == (2, 0) and not (second / "uploaded").exists()


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (command("import sys; sys.exit('no room\\nthere')"), "ended with code 1: no room there"),
        (command("import sys; sys.exit('hf_' + 'a1B2' * 200 + 'end')"), "ended with code 1: ***"),
        (command("import os; os.kill(os.getpid(), 9)"), "ended with code 137"),
        ("/no/such/command {path}", "ended with code 127: it could not be started ([Errno 2] No such file or directory"),
    ],
)
def test_a_failure_is_counted_and_told_with_what_the_command_said(tmp_path, capsys, line, complaint):
    (path,) = places(tmp_path, 1)
    uploader = Uploader(line, name="r", deadline_s=30)
    uploader.submit(path, 3)
    uploader.close()
    assert (uploader.uploads, uploader.failures, uploader.busy) == (0, 1, set())
    told = " ".join(capsys.readouterr().out.split())
    assert f"checkpoint.upload: the command for step 3 {complaint}" in told
    assert not (path / "uploaded").exists()


def test_an_upload_that_cannot_be_recorded_is_a_failure(tmp_path, capsys):
    (path,) = places(tmp_path, 1)
    uploader = Uploader(command("import os, sys; os.rmdir(sys.argv[1])"), name="r", deadline_s=30)
    uploader.submit(path, 3)
    uploader.close()
    assert (uploader.uploads, uploader.failures) == (0, 1)
    assert "step 3 ended well, which cannot be recorded ([Errno 2] No such file or directory" in " ".join(capsys.readouterr().out.split())


FORKS = (
    "import os, subprocess, sys, time; other = subprocess.Popen(['sleep', '90']); "
    "print(os.getpid(), other.pid, file=open(sys.argv[1] + '/pids', 'w')); time.sleep(90)"
)


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_command_and_what_it_started_end_with_a_run_that_is_killed(tmp_path):
    (path,) = places(tmp_path, 1)
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom ib_lpo.checkpoints.upload import Uploader\n"
        "Uploader(sys.argv[1], name='r', deadline_s=30).submit(Path(sys.argv[2]), 1)\ntime.sleep(90)\n"
    )
    run = subprocess.Popen([sys.executable, "-c", script, command(FORKS), path])
    try:
        pids = waited(lambda: (path / "pids").exists() and (path / "pids").read_text().split())
        assert all(map(lives, pids))
    finally:
        run.kill()
        run.wait()
    assert waited(lambda: not any(map(lives, pids)))


def waited(value, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := value()):
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)
    return found


@pytest.mark.parametrize(("wait", "why"), [(True, "overran checkpoint.upload_deadline_s"), (False, "was stopped with the run")])
def test_the_end_of_the_run_waits_no_longer_than_it_may(tmp_path, capsys, wait, why):
    first, second = places(tmp_path, 2)
    uploader = Uploader(command(WAIT), name="r", deadline_s=0.3)
    uploader.submit(first, 1)
    uploader.submit(second, 2)
    process = uploader._running.process
    began = time.monotonic()
    uploader.close(wait=wait)
    assert time.monotonic() - began < 10 and process.poll() is not None
    assert uploader.failures == 2 and not uploader.busy
    told = " ".join(capsys.readouterr().out.split())
    assert f"step 1 {why}" in told and "step 2 was not started in time" in told


def shelf(root, **config):
    return Checkpoints(root, CheckpointConfig(keep=1, **config), name="r")


def test_what_is_being_uploaded_is_not_deleted(tmp_path):
    kept = shelf(tmp_path, upload=command(WAIT))
    paths = [kept.write(step, lambda path: None, {}, {}) for step in (1, 2, 3)]
    assert [c.step for c in complete(tmp_path)] == [1, 3], "1 is being uploaded, 3 is the newest and waits"
    for path in (paths[0], paths[2]):
        (path / "go").touch()
    kept.close()
    assert kept.metrics() == {"checkpoint/uploads": 2.0, "checkpoint/upload_failures": 0.0, "checkpoint/uploads_superseded": 1.0}
    assert [c.step for c in complete(tmp_path)] == [3]


def test_an_upload_that_was_cut_short_is_made_again(tmp_path):
    path = shelf(tmp_path).write(1, lambda path: None, {}, {})
    for uploads in (1.0, 0.0):
        resumed = shelf(tmp_path, upload=command(COPY))
        resumed.go_on_from(complete(tmp_path)[0])
        resumed.close()
        assert resumed.metrics()["checkpoint/uploads"] == uploads
    assert (path / "uploaded").exists()
