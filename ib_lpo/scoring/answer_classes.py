"""Answers that mean the same, under one spelling: what counts as one answer in a vote or in a measure of diversity.

Whether two answers mean the same is mathematics, whatever a run rewards: the built-in `math` reward decides (`comparing`).
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction

from ib_lpo.scoring.config import VerifierConfig
from ib_lpo.scoring.grades import Grade
from ib_lpo.scoring.rewards.find import locate
from ib_lpo.scoring.verifier import Verifier
from ib_lpo.tree import Verdict

MOST_COMPARISONS = 2000  # per set of answers; as many as 63 different ones need
Grader = Callable[[list[tuple[str, str]]], list[Grade]]  # of (response, gold answer) pairs

_NUMBER = re.compile(r"-?[0-9]{1,4000}(?:\.[0-9]{1,200})?")
_NEAR = Fraction(1, 10_000)  # the verifier rounds to less


@contextmanager
def comparing(config: VerifierConfig, grade: Grader) -> Iterator[Grader]:
    """What `merged` asks: `grade` itself where the run's reward is `math`, else a verifier of its own with that reward."""
    if locate(config.reward) == locate("math"):
        yield grade
        return
    verifier = Verifier(config.model_copy(update={"reward": "math"}))
    try:
        yield verifier.grade
    finally:
        verifier.close()


def merged(answers: list[list[str | None]], compare: Grader) -> list[list[str | None]]:
    """Answers of each set, every one under the first spelling of its set that `compare` takes for the same.

    A spelling is compared with the first of each class, until one is the same; never two plain numbers that are far apart. After
    MOST_COMPARISONS of a set its remaining spellings are answers of their own, which may split a vote; `classed` counts them.
    """
    return classed(answers, compare)[0]


def classed(answers: list[list[str | None]], compare: Grader) -> tuple[list[list[str | None]], list[int]]:
    """`merged`, and of each set the number of spellings that were not compared to the end."""
    sets = [_Spellings(of) for of in answers]
    while pairs := [(of, later) for of in sets for later in of.next_round()]:
        grades = compare([(f"\\boxed{{{later}}}", of.representative) for of, later in pairs])
        for (of, later), grade in zip(pairs, grades, strict=True):
            of.settle(later, same=grade.verdict is Verdict.CORRECT)
    under = [[None if answer is None else of.under.get(answer, answer) for answer in row] for of, row in zip(sets, answers, strict=True)]
    return under, [len(of.open) for of in sets]


class _Spellings:
    """The spellings of one set, one class after the other."""

    def __init__(self, answers: list[str | None]):
        self.open = list(dict.fromkeys(answer for answer in answers if answer is not None))  # without a class so far
        self.under: dict[str, str] = {}
        self.representative = ""
        self._asked = 0

    def next_round(self) -> list[str]:
        """Spellings to compare with the next representative; empty when there is no more to compare."""
        while self.open:
            asked = [other for other in self.open[1:] if not _far_apart(self.open[0], other)]
            if self._asked + len(asked) > MOST_COMPARISONS:
                return []
            self.representative = self.open.pop(0)
            self._asked += len(asked)
            if asked:
                return asked
        return []

    def settle(self, spelling: str, *, same: bool) -> None:
        """What became of a comparison with the representative."""
        if same:
            self.under[spelling] = self.representative
            self.open.remove(spelling)


def _far_apart(first: str, second: str) -> bool:
    if not (_NUMBER.fullmatch(first) and _NUMBER.fullmatch(second)):
        return False
    return abs(Fraction(first) - Fraction(second)) > _NEAR
