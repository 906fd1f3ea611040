"""Copies of checkpoints elsewhere: a command per checkpoint, in the background.

Training never waits for it. One command runs at a time and one checkpoint waits, the newest: a newer one takes its place. A checkpoint
whose command ended well has the file `uploaded`, so that an upload that a kill cut short is made again. The run's thread, which must be
the main one, starts and reaps the commands whenever it calls `poll`. A command ends with the run, however that ends (upload_process.py).
"""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from ib_lpo.progress import say
from ib_lpo.redaction import redact

UPLOADED = "uploaded"
_TAIL = 500  # last characters of a command's stderr that are told
_READ_BYTES = 1 << 16  # that they are looked for in
_GRACE_S = 5.0  # between asking a command to end and killing it


class _Wanted(NamedTuple):
    path: Path
    step: int


@dataclass(frozen=True, slots=True)
class _Running:
    wanted: _Wanted
    process: subprocess.Popen
    stderr: IO[bytes]


class Uploader:
    """Counts since it was made: `uploads` that ended well, `failures`, and `superseded` checkpoints, which were never uploaded."""

    def __init__(self, command: str, *, name: str, deadline_s: float):
        """`command`: checkpoint.upload; `name`: the run's; `deadline_s`: seconds that `close` waits."""
        self._command, self._name, self._deadline_s = command, name, deadline_s
        self._running: _Running | None = None
        self._waiting: _Wanted | None = None
        self.uploads = self.failures = self.superseded = 0

    @property
    def busy(self) -> set[Path]:
        """Checkpoints that must stay: being uploaded or waiting for it."""
        return {wanted.path for wanted in (self._running and self._running.wanted, self._waiting) if wanted}

    def submit(self, path: Path, step: int) -> None:
        """Upload a complete checkpoint as soon as the running command has ended."""
        if self._waiting is not None:
            self.superseded += 1
        self._waiting = _Wanted(path, step)
        self.poll()

    def poll(self) -> None:
        """See whether the running command has ended, and start the next; never waits."""
        if self._running is not None and self._running.process.poll() is not None:
            self._reap()
        if self._running is None and self._waiting is not None:
            wanted, self._waiting = self._waiting, None
            self._start(wanted)

    def close(self, *, wait: bool = True) -> None:
        """End of the run: wait for what runs and what waits, up to the deadline in all; without `wait` stop it at once."""
        deadline = time.monotonic() + (self._deadline_s if wait else 0.0)
        while self.busy and time.monotonic() < deadline:
            self.poll()
            time.sleep(0.02)
        self.poll()
        if self._running is not None:
            self._stop("overran checkpoint.upload_deadline_s" if wait else "was stopped with the run")
        if self._waiting is not None:
            self._failed(self._waiting, "was not started in time")
            self._waiting = None

    def _start(self, wanted: _Wanted) -> None:
        places = {"path": str(wanted.path.resolve()), "name": self._name, "step": str(wanted.step)}
        around = [sys.executable, "-m", "ib_lpo.checkpoints.upload_process", str(os.getpid())]
        command = [*around, *(part.format(**places) for part in shlex.split(self._command))]
        stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the command
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True)
        except OSError as error:
            stderr.close()
            self._failed(wanted, f"could not be started ({error})")
        else:
            self._running = _Running(wanted, process, stderr)

    def _reap(self) -> None:
        running, self._running = self._running, None
        code = running.process.returncode
        running.stderr.seek(max(0, running.stderr.seek(0, os.SEEK_END) - _READ_BYTES))
        tail = " ".join(redact(running.stderr.read().decode(errors="replace")).split())[-_TAIL:]
        running.stderr.close()
        if code != 0:
            self._failed(running.wanted, f"ended with code {code}{f': {tail}' if tail else ''}")
            return
        try:
            (running.wanted.path / UPLOADED).touch()
        except OSError as error:
            self._failed(running.wanted, f"ended well, which cannot be recorded ({error}), so a resumed run makes the upload again")
        else:
            self.uploads += 1

    def _stop(self, why: str) -> None:
        running, self._running = self._running, None
        for number in (signal.SIGTERM, signal.SIGKILL):  # of the whole group: a command may have started others
            if running.process.poll() is None:
                os.killpg(running.process.pid, number)
            try:
                running.process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                continue
            break
        running.stderr.close()
        self._failed(running.wanted, why)

    def _failed(self, wanted: _Wanted, why: str) -> None:
        self.failures += 1
        say(f"checkpoint.upload: the command for step {wanted.step} {why}; {wanted.path} stays where it is as long as checkpoint.keep says")
