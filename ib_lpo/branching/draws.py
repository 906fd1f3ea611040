"""Which batches of questions each step draws; pure.

Batches are numbered from 0 over the whole run, and every number is drawn once. What a step drew before it was finished is drawn again, in
the same order, when the run goes on from a checkpoint: no question is lost, and none is trained on twice.
"""

from typing import Any


class Draws:
    """The position in the data: how many batches are drawn, and which of them belong to steps that are not finished."""

    def __init__(self, drawn: int = 0, unfinished: dict[int, list[int]] | None = None):
        self._drawn = drawn
        self._unfinished: dict[int, list[int]] = {step: list(of) for step, of in (unfinished or {}).items()}
        self._again: dict[int, list[int]] = {step: list(of) for step, of in self._unfinished.items()}

    @classmethod
    def of(cls, state: dict[str, Any]) -> "Draws":
        """Read back `state`."""
        return cls(state["batches"], {int(step): of for step, of in state["unfinished"].items()})

    def next(self, step: int) -> int:
        """The number of the batch that `step` draws with this call."""
        if again := self._again.get(step):
            return again.pop(0)
        number, self._drawn = self._drawn, self._drawn + 1
        self._unfinished.setdefault(step, []).append(number)
        return number

    def finished(self, step: int) -> None:
        """The step is recorded. A batch that it had drawn once and did not need this time stays drawn."""
        self._unfinished.pop(step, None)
        self._again.pop(step, None)

    def state(self) -> dict[str, Any]:
        """For a checkpoint; JSON."""
        return {"batches": self._drawn, "unfinished": {str(step): of for step, of in sorted(self._unfinished.items())}}
