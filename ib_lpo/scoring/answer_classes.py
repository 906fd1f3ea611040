"""Answers that mean the same, under one spelling: what counts as one answer in a vote or in a measure of diversity."""

import re
from collections.abc import Callable
from itertools import combinations

from ib_lpo.scoring.grades import Grade
from ib_lpo.tree import Verdict

_INTEGER = re.compile(r"-?[0-9]{1,4000}")


def merged(answers: list[list[str | None]], grade: Callable[[list[tuple[str, str]]], list[Grade]]) -> list[list[str | None]]:
    """Answers of each set, every one under the first spelling of its set that the verifier takes for the same.

    `grade`: of (response, gold answer) pairs. It is not asked about two plain integers of different value.
    """
    spellings = [list(dict.fromkeys(answer for answer in of if answer is not None)) for of in answers]
    pairs = [(i, *pair) for i, of in enumerate(spellings) for pair in combinations(of, 2) if not _different_integers(*pair)]
    verdicts = grade([(f"\\boxed{{{later}}}", earlier) for _, earlier, later in pairs])
    under: dict[tuple[int, str], str] = {}
    for (i, earlier, later), found in zip(pairs, verdicts, strict=True):
        if found.verdict is Verdict.CORRECT:
            under.setdefault((i, later), under.get((i, earlier), earlier))
    return [[None if answer is None else under.get((i, answer), answer) for answer in of] for i, of in enumerate(answers)]


def _different_integers(first: str, second: str) -> bool:
    return bool(_INTEGER.fullmatch(first) and _INTEGER.fullmatch(second)) and int(first) != int(second)
