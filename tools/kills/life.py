"""One life of the driver: the command line, what it prints with the time of each line, and every process that it ever started.

Two threads look on: one reads the lines, one notes descendants. Nobody waits without a deadline.
"""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from tests.system.runs import environment

_STEP = re.compile(r"step +(\d+)  ")
_POLL_S = 0.02
_NOTE_S = 0.5
_READ_S = 2.0  # for the last lines; who outlives a killed driver holds its pipe open


class Life:
    """A process of `ib-lpo train`."""

    def __init__(self, folder: Path, manifest: Path, *arguments: str, echo: Callable[[str], None]):
        """`echo` hears of every line."""
        self.lines: list[tuple[float, str]] = []  # monotonic seconds, text
        self.seen: set[tuple[int, float]] = set()  # pid and time of birth of every descendant
        self.began = time.monotonic()
        self._echo = echo
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ib_lpo", "train", str(manifest), *arguments],
            cwd=folder,
            env=environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._note)]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def step(self) -> int:
        """The last step it told; 0 before the first."""
        told = (match for _, text in reversed(list(self.lines)) if (match := _STEP.match(text)))
        return int(match[1]) if (match := next(told, None)) else 0

    def told(self, pattern: str, after: float) -> tuple[float, re.Match[str]] | None:
        """The first line after that time that matches, with its time."""
        found = ((at, re.search(pattern, text)) for at, text in list(self.lines) if at >= after)
        return next(((at, match) for at, match in found if match), None)

    def wait(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Whether it holds within that time, while the driver lives."""
        end = time.monotonic() + seconds
        while not (held := holds()) and self.alive and time.monotonic() < end:
            time.sleep(_POLL_S)
        return held

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)

    def finish(self, seconds: float) -> int:
        """Its exit code, once what it printed is read. Raises subprocess.TimeoutExpired."""
        code = self._process.wait(seconds)
        for thread in self._threads:
            thread.join(_READ_S)
        return code

    def survivors(self, seconds: float) -> list[str]:
        """Command lines of descendants that outlive it by more than that."""
        left: list[psutil.Process] = []
        for pid, born in self.seen:
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                if process.create_time() == born:
                    left.append(process)
        _, alive = psutil.wait_procs(left, timeout=seconds)
        return [f"{process.pid} {' '.join(_command(process))}" for process in alive]

    def _read(self) -> None:
        for text in self._process.stdout:
            self.lines.append((time.monotonic(), text.rstrip()))
            self._echo(text.rstrip())

    def _note(self) -> None:
        while self.alive:
            with suppress(psutil.NoSuchProcess):
                self.seen |= {(child.pid, child.create_time()) for child in psutil.Process(self.pid).children(recursive=True)}
            time.sleep(_NOTE_S)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return [process.name()]
