"""What became of the samples of a question: graded, and with answers that mean the same under one spelling."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from ib_lpo.scoring.answer_classes import Grader, classed
from ib_lpo.scoring.answer_text import find_answer
from ib_lpo.scoring.grades import Grade
from ib_lpo.tree import Question, Status, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One response."""

    text: str  # empty in outcomes that were read back
    tokens: int
    status: Status
    verdict: Verdict
    reward: float | None  # None when unverifiable
    answer: str | None  # as stated
    answer_class: str | None  # the first spelling, among the question's samples, of an answer that is the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All n samples of one question."""

    question: str  # its id
    digest: str  # of prompt and gold answer
    samples: list[Sample]
    uncompared: int = 0  # spellings that are answers of their own because comparing all would take too long
    diversity: dict[str, float] = field(default_factory=dict)

    @property
    def solved(self) -> list[bool]:
        """By sample; only what the verifier takes for correct is."""
        return [sample.verdict is Verdict.CORRECT for sample in self.samples]

    @property
    def answerless(self) -> bool:
        """Whether nothing is known of answers: no sample has one, and the reward does not say that they lack one."""
        return all(sample.answer is None and sample.verdict is not Verdict.NO_ANSWER for sample in self.samples)


def outcomes(
    questions: Sequence[Question],
    texts: Sequence[Sequence[str]],
    tokens: Sequence[Sequence[int]],
    statuses: Sequence[Sequence[Status]],
    grade: Grader,
    compare: Grader,
) -> list[Outcome]:
    """Outcomes of questions from the texts, lengths and ends of their samples, [questions][n] each; `compare` says which answers are
    the same (`comparing`)."""
    grades = grade([(text, question.answer) for question, of in zip(questions, texts, strict=True) for text in of])
    return graded_outcomes(questions, texts, tokens, statuses, grades, compare)


def graded_outcomes(
    questions: Sequence[Question],
    texts: Sequence[Sequence[str]],
    tokens: Sequence[Sequence[int]],
    statuses: Sequence[Sequence[Status]],
    grades: Sequence[Grade],
    compare: Grader,
) -> list[Outcome]:
    """`outcomes` of samples that are graded already: `grades` of all of them, question by question."""
    left_grades = iter(grades)
    said = iter(grades)
    answers = [[_answer(text, next(said)) for text in of] for of in texts]
    classes, uncompared = classed(answers, compare)
    found = []
    for question, left, *columns in zip(questions, uncompared, texts, tokens, statuses, answers, classes, strict=True):
        samples = [_sample(*row, grade=next(left_grades)) for row in zip(*columns, strict=True)]
        found.append(Outcome(question=question.id, digest=digest(question), samples=samples, uncompared=left))
    return found


def _answer(text: str, grade: Grade) -> str | None:
    """What a response answers: what the reward says it does, else what stands in its last box or after `####`."""
    if grade.answer is not None:
        return grade.answer
    stated = find_answer(text)
    return None if stated is None else stated.expression


def _sample(text: str, tokens: int, status: Status, answer: str | None, answer_class: str | None, *, grade: Grade) -> Sample:
    verdict, reward = grade.verdict, grade.reward
    return Sample(text=text, tokens=tokens, status=status, verdict=verdict, reward=reward, answer=answer, answer_class=answer_class)


def digest(question: Question) -> str:
    """Of what an outcome depends on besides the manifest."""
    return hashlib.sha256(repr((question.prompt_ids, question.answer)).encode()).hexdigest()[:16]
