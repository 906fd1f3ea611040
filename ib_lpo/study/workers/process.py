"""One run as a process of its own, which does not outlive the process that started it."""

import json
import os
import signal
import subprocess
import sys
from functools import partial

from ib_lpo.parent import die_with
from ib_lpo.study.machine import machine
from ib_lpo.study.workers.base import Job
from ib_lpo.tracking import replace_text

_NOT_PASSED_ON = ("WANDB_SERVICE",)  # of a wandb that this process may hold


def start_process(job: Job, environment: dict[str, str] | None = None) -> subprocess.Popen:
    """Start `ib-lpo train` of a job; it goes on from its newest checkpoint where it has one. Call it from a thread that
    lives as long as its process (parent.py). `environment`: None: this process's.

    The run is in a session of its own: Ctrl-C reaches it through `interrupt` alone.
    """
    _note_machine(job)
    env = {name: value for name, value in (environment or os.environ).items() if name not in _NOT_PASSED_ON}
    with job.log.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "ib_lpo", "train", str(job.manifest), "--resume"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
            preexec_fn=partial(_tied, os.getpid()),
        )


def interrupt(process: subprocess.Popen) -> None:
    """Let it stop what it started, as on Ctrl-C."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)


def end_process(process: subprocess.Popen, seconds: float) -> None:
    """Wait until an interrupted one has ended; after `seconds`, kill it and its session."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _tied(parent: int) -> None:
    """In the new process, before it becomes the run: SIGINT as usual, also in a shell's background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    die_with(parent, signal.SIGKILL)


def _note_machine(job: Job) -> None:
    """Where the run is; a run that goes on elsewhere has both processors."""
    here = machine(job.device)
    if job.machine.exists():
        before = json.loads(job.machine.read_text(encoding="utf-8"))["processor"]
        if here["processor"] not in before.split(" + "):
            here["processor"] = f"{before} + {here['processor']}"
    replace_text(job.machine, json.dumps(here))
