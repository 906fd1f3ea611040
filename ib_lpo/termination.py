"""SIGTERM and SIGHUP: how a scheduler, or a terminal that closes, asks a run to end.

State: `at once` while nothing could be lost (the signal raises Terminated wherever the process is, as Ctrl-C does), or `deferred`: the work
asks by `check` where it can stop, and has `cluster.grace_s` seconds from the signal to save what there is. When they are over, Terminated
is raised wherever the process is; further signals change nothing. A signal that was ignored when the process started (nohup) stays so.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 143  # 128 + SIGTERM, as a shell reports it
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Terminated(BaseException):
    """The process was asked to end. No Exception: nothing on the way mistakes it for a failure."""


class Termination:
    """Use it as a context around the work, on the main thread; elsewhere signals stay as they are."""

    def __init__(self, grace_s: float):
        """`grace_s`: seconds from the first signal to the end of deferring; cluster.grace_s."""
        self._grace_s = grace_s
        self._before: dict[int, object] = {}
        self._deferred = False
        self._told: str | None = None  # the signal's name

    def __enter__(self) -> "Termination":
        self._before = {number: signal.getsignal(number) for number in (*_SIGNALS, signal.SIGALRM)}
        self.listen()
        return self

    def __exit__(self, *error: object) -> None:
        self.relax()
        if _on_main_thread():
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def listen(self) -> None:
        """Take the signals; again after a library may have taken them."""
        if not _on_main_thread():
            return
        for number in _SIGNALS:
            if self._before[number] is not signal.SIG_IGN:
                signal.signal(number, self._asked)
        signal.signal(signal.SIGALRM, self._late)

    @property
    def requested(self) -> str | None:
        """The name of the signal that came; None: none did."""
        return self._told

    def check(self) -> None:
        """Raise Terminated when a signal came."""
        if self._told is not None:
            raise Terminated(f"{self._told}: asked to end")

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Signals wait for `check` in here."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def relax(self) -> None:
        """What had to be saved is saved, or cannot be: no more time runs out."""
        if _on_main_thread():
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        first, self._told = self._told is None, self._told or signal.Signals(number).name
        if not self._deferred:
            raise Terminated(f"{self._told}: ended at once")
        if first:  # a terminal that closes may send several
            signal.setitimer(signal.ITIMER_REAL, self._grace_s)

    def _late(self, number: int, frame: FrameType | None) -> None:
        raise Terminated(
            f"{self._told}: cluster.grace_s={self._grace_s:g} s were not enough to save what was done since the last checkpoint"
        )


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
