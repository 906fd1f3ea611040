"""SIGTERM and SIGHUP: at once while nothing could be lost, otherwise where the work asks, and never later than the grace."""

import os
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from ib_lpo.cli import app
from ib_lpo.termination import Terminated, Termination


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture(params=[signal.SIGTERM, signal.SIGHUP])
def number(request):
    return request.param


def test_at_once_while_nothing_could_be_lost(number):
    with pytest.raises(Terminated, match=signal.Signals(number).name), Termination(60):
        send(number)
        pytest.fail("it went on")


def test_it_is_no_exception_that_work_may_swallow(number):
    with pytest.raises(Terminated), Termination(60):
        try:
            send(number)
        except Exception:
            pytest.fail("swallowed")


def test_deferred_work_asks(number):
    with Termination(60) as termination, termination.deferred():
        termination.check()
        assert termination.requested is None
        for _ in range(3):  # a terminal that closes may send several
            send(number)
        assert termination.requested == signal.Signals(number).name
        with pytest.raises(Terminated, match="asked to end"):
            termination.check()


def test_the_grace_ends_whatever_runs(number):
    with (
        pytest.raises(Terminated, match=r"cluster\.grace_s=0\.1 s were not enough"),
        Termination(0.1) as termination,
        termination.deferred(),
    ):
        send(number)
        time.sleep(20)
        pytest.fail("it went on")


def test_what_is_saved_in_time_is_not_ended():
    with Termination(0.1) as termination, termination.deferred():
        send(signal.SIGTERM)
        termination.relax()
        time.sleep(0.3)


def test_signals_are_given_back():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)]
    with Termination(60):
        assert signal.getsignal(signal.SIGTERM) is not before[0]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)] == before


def test_they_are_taken_again_from_a_library_that_took_them():
    with Termination(60) as termination, termination.deferred():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        termination.listen()
        send(signal.SIGTERM)
        assert termination.requested == "SIGTERM"


def test_an_ignored_hangup_stays_ignored():
    """nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Termination(60) as termination:
            send(signal.SIGHUP)
            assert termination.requested is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_it_does_nothing_on_another_thread():
    script = (
        "import threading\nfrom ib_lpo.termination import Termination\n"
        "def work():\n    with Termination(60) as t, t.deferred():\n        print('worked', t.requested)\n"
        "thread = threading.Thread(target=work)\nthread.start()\nthread.join()\n"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300).stdout == "worked None\n"


@pytest.mark.parametrize("command", [["train"], ["latent", "fit"], ["eval"]])
def test_the_command_line_says_why_and_exits_with_143(monkeypatch, tmp_path, command):
    def asked(*_):
        raise Terminated("SIGTERM: asked to end; step 3 of 9 is saved, go on with --resume")

    monkeypatch.setattr(f"ib_lpo.cli.{ {'train': 'train', 'latent': 'train', 'eval': 'evaluate'}[command[0]] }.claim", asked)
    result = CliRunner().invoke(app, [*command, "configs/smoke.yaml", f"runs_dir={tmp_path}"])
    assert result.exit_code == 143 and result.stderr == "SIGTERM: asked to end; step 3 of 9 is saved, go on with --resume\n"
