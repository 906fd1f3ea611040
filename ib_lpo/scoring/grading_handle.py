"""The parent's side of one grading process: start, submit, collect, kill.

A handle is STARTING until the process says it is ready, then alternates between idle and busy; it holds at most one item. Requests are
numbered, and a reply that does not carry the number of the item held is passed over.
The process is a fresh interpreter and not a multiprocessing child, which would import the caller's `__main__` (and torch with it).
"""

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import NamedTuple

from ib_lpo.errors import UserError
from ib_lpo.scoring.config import VerifierConfig
from ib_lpo.scoring.grades import Cause, Grade
from ib_lpo.scoring.grading_process import FAILED, MAX_MESSAGE, READY
from ib_lpo.scoring.rewards.find import RewardNotFound
from ib_lpo.tree import Verdict

_REAP_S = 10.0  # seconds a SIGKILLed process may take to be gone


class VerifierError(UserError):
    """Grading processes cannot be started or ended."""


class Stillborn(Exception):
    """A grading process ended before it was ready: it was killed, or cannot be started on this machine at all."""


class ProcessDied(Exception):
    """The socket to a grading process closed."""


class Reply(NamedTuple):
    """A grade, and whether the process asks to be replaced."""

    grade: Grade
    retire: bool


class GradingProcess:
    """One grading process. `due` is the monotonic time at which what it is doing becomes an overrun; None while idle."""

    def __init__(self, config: VerifierConfig, reward: str) -> None:
        """`reward`: package.module:attribute."""
        self._config = config
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(config.deadline_s))
        command = [sys.executable, "-W", "ignore", "-m", "ib_lpo.scoring.grading_process"]
        arguments = [str(theirs.fileno()), str(os.getpid()), str(config.memory_mb), reward]
        with theirs:
            self._process = subprocess.Popen(
                command + arguments,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=_environment(os.environ),
                start_new_session=True,
            )
        self.connection = Connection(ours.detach())
        self.ticket: int | None = None  # of the caller
        self._number = 0  # of the request under way, which its reply must carry
        self.ready = False
        self.due: float | None = time.monotonic() + config.start_deadline_s

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def idle(self) -> bool:
        return self.ready and self.ticket is None

    def submit(self, ticket: int, request: tuple[str, str, str]) -> None:
        """Hand over an item. Raises ProcessDied when the process is gone or does not take it within the deadline."""
        if self._process.poll() is not None:
            raise ProcessDied
        try:
            self.connection.send((self._number + 1, *request))
        except (ConnectionError, BlockingIOError):
            raise ProcessDied from None
        self._number += 1
        self.ticket, self.due = ticket, time.monotonic() + self._config.deadline_s

    def collect(self) -> Reply | None:
        """Read the waiting message: a reply, or None for the ready message and for a reply to another request than the one under way.

        Raises ProcessDied; Stillborn or VerifierError, or RewardNotFound for a reward that cannot be used, if it never got ready.
        """
        try:
            message = self.connection.recv_bytes(maxlength=MAX_MESSAGE)
        except (EOFError, ConnectionError):
            if not self.ready:
                raise Stillborn(f"grading process {self.pid} ended before it was ready; its own error is on stderr") from None
            raise ProcessDied from None
        if not self.ready:
            if message.startswith(FAILED):
                raise RewardNotFound(message.removeprefix(FAILED).decode(errors="replace"))
            if message != READY:
                raise VerifierError(f"grading process {self.pid} began with {message!r} instead of {READY!r}")
            self.ready, self.due = True, None
            return None
        number, verdict, cause, reward, retire, *answer = message.decode(errors="replace").split(" ", 5)
        if self.ticket is None or number != str(self._number):
            return None
        self.ticket = self.due = None
        grade = Grade(
            Verdict(verdict),
            None if cause == "-" else Cause(cause),
            None if reward == "-" else float(reward),
            answer[0] if answer else None,
        )
        return Reply(grade, retire == "1")

    def kill(self) -> None:
        """End the process at once, whatever it is doing, and what its reward forked into its group. Idempotent.

        Raises VerifierError if the kernel does not let go of it.
        """
        self.connection.close()
        if self._process.poll() is None:  # or its number may be another's by now
            os.killpg(self._process.pid, signal.SIGKILL)
        try:
            self._process.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            raise VerifierError(f"grading process {self.pid} is still there {_REAP_S:.0f} s after SIGKILL") from None


def _environment(base: Mapping[str, str]) -> dict[str, str]:
    """The caller's import path, and one thread, which keeps the address space small."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return {**base, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _timeval(seconds: float) -> bytes:
    """As the kernel's `struct timeval`."""
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1e6) or 1)
