"""Dynamic sampling (DAPO, arXiv 2503.14476, section 3.2), pure: which of the questions drawn in a step it trains on.

Without it (`budget` = 1) a step trains on the one batch that it draws. With it, a step draws on until `wanted` of its questions have
signal, or `budget` batches are used. Kept are the first `wanted` questions with signal in the order drawn, the last batch as it is when
there is none, and never a question twice: trajectory ids and seeds derive from question and step.
"""

from collections.abc import Sequence

from ib_lpo.branching.allocation import Allocation
from ib_lpo.tree import Question, RolloutTree


def has_signal(tree: RolloutTree) -> bool:
    """Whether rewards differ among the trajectories that have one, so that a comparison within the group says something."""
    return len({t.reward for t in tree.trajectories if t.reward is not None}) > 1


class Harvest:
    """The questions that a step has drawn, grown and graded so far."""

    def __init__(self, wanted: int, budget: int):
        """`wanted`: data.questions_per_step; `budget`: data.batches_per_step."""
        self._wanted = wanted
        self._budget = budget
        self._batches: list[list[RolloutTree]] = []
        self._repeated = 0
        self.allocations: list[Allocation] = []  # of the batches that have one

    @property
    def complete(self) -> bool:
        """Whether no further batch is to be drawn."""
        return len(self._batches) == self._budget or len(self._with_signal) >= self._wanted

    @property
    def grown(self) -> list[RolloutTree]:
        """All trees, kept or not, in the order drawn."""
        return [tree for batch in self._batches for tree in batch]

    def fresh(self, questions: Sequence[Question]) -> list[Question]:
        """The questions of a new batch less those that the step holds already, which can be where an epoch ends inside it."""
        held = {tree.question.id for tree in self.grown}
        new = [question for question in questions if question.id not in held]
        self._repeated += len(questions) - len(new)
        return new

    def add(self, trees: list[RolloutTree], allocation: Allocation | None = None) -> None:
        """Take a batch, graded, maybe empty, and the allocation of its branches. Raises ValueError when the budget is
        used."""
        if len(self._batches) == self._budget:
            raise ValueError(f"a step draws at most data.batches_per_step={self._budget} batches")
        self._batches.append(trees)
        self.allocations += [] if allocation is None else [allocation]

    def kept(self) -> list[RolloutTree]:
        """The trees that the step trains on."""
        if self._budget == 1:
            return self.grown
        return self._with_signal[: self._wanted] or next((batch for batch in reversed(self._batches) if batch), [])

    def metrics(self) -> dict[str, float]:
        """`sampling/...`: batches drawn; questions grown; of these dropped without signal (`silent`), dropped with signal because the step
        was full (`surplus`); questions not grown because the step held them already (`repeated`)."""
        grown = len(self.grown)
        surplus = 0 if self._budget == 1 else max(0, len(self._with_signal) - self._wanted)
        counts = {
            "batches": len(self._batches),
            "questions": grown,
            "silent": grown - surplus - len(self.kept()),
            "surplus": surplus,
            "repeated": self._repeated,
        }
        return {f"sampling/{name}": float(count) for name, count in counts.items()}

    @property
    def _with_signal(self) -> list[RolloutTree]:
        return [tree for tree in self.grown if has_signal(tree)]
