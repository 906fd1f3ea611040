"""Which batches of questions each step draws; pure.

Batches are numbered from 0 over the whole run, and every number is drawn once. What a step drew before it was finished is drawn again, in
the same order, when the run goes on from a checkpoint; what the step does not need this time, the next draw gets. So no question is lost,
and none is trained on twice.
"""

from collections.abc import Iterable
from typing import Any


class Draws:
    """The position in the data: how many batches are drawn, which of them belong to steps that are not finished, and which to none
    (`spare`)."""

    def __init__(self, drawn: int = 0, unfinished: dict[int, list[int]] | None = None, spare: Iterable[int] = ()):
        self._drawn = drawn
        self._spare = list(spare)
        self._unfinished: dict[int, list[int]] = {step: list(of) for step, of in (unfinished or {}).items()}
        self._again: dict[int, list[int]] = {step: list(of) for step, of in self._unfinished.items()}

    @classmethod
    def of(cls, state: dict[str, Any]) -> "Draws":
        """Read back `state`."""
        return cls(state["batches"], {int(step): of for step, of in state["unfinished"].items()}, state["spare"])

    def next(self, step: int) -> int:
        """The number of the batch that `step` draws with this call."""
        if again := self._again.get(step):
            return again.pop(0)
        number = self._spare.pop(0) if self._spare else self._new()
        self._unfinished.setdefault(step, []).append(number)
        return number

    def finished(self, step: int) -> None:
        """The step is recorded."""
        self._unfinished.pop(step, None)
        self._spare += self._again.pop(step, [])

    def state(self) -> dict[str, Any]:
        """For a checkpoint; JSON."""
        unfinished = {str(step): of for step, of in sorted(self._unfinished.items())}
        return {"batches": self._drawn, "unfinished": unfinished, "spare": list(self._spare)}

    def _new(self) -> int:
        self._drawn += 1
        return self._drawn - 1
