"""What a person sees while questions are sampled: a bar in a terminal, a line every half minute elsewhere."""

import time

from rich import get_console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ib_lpo.progress import say

_LINE_EVERY_S = 30.0


class Watched:
    """Progress over `total` questions, of which `done` were measured before; a context manager."""

    def __init__(self, total: int, *, done: int = 0):
        console = get_console()
        self._total, self._done, self._correct, self._verified = total, done, 0, 0
        self._said = time.monotonic()
        self._bar = Progress(
            TextColumn("pass rates"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[solved]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("sample", total=total, completed=done, solved="")
        before = f", {done} of them measured before" if done else ""
        say(f"pass rates of {total} questions{before}")

    def __enter__(self) -> "Watched":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self, correct: int, verified: int) -> None:
        """One more question is measured, with so many correct ones among so many verified samples."""
        self._done, self._correct, self._verified = self._done + 1, self._correct + correct, self._verified + verified
        solved = f"{self._correct / self._verified:.0%} solved" if self._verified else ""
        self._bar.update(self._task, advance=1, solved=solved)
        due = time.monotonic() - self._said >= _LINE_EVERY_S
        if self._bar.disable and due:
            say(f"pass rates: {self._done} of {self._total} questions, {solved}")
            self._said = time.monotonic()
