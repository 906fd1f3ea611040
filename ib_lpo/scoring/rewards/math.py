"""The built-in reward `math`: 1 when the final answer of a response equals the gold answer as mathematics, else 0.

The final answer is the last complete `\\boxed{...}`, else the last `#### x` (scoring/answer_text.py), outside the response's thinking: what
is stated there alone is WRONG, unless `verifier.thinking` is `graded`. What cannot be compared within
bounds is UNVERIFIABLE. What cannot be read as mathematics at all, `?!` or `the answer`, is WRONG unless it is the spelling of the gold
answer: a policy must not escape a wrong grade by writing what nobody can read.
"""

from ib_lpo.scoring.answer_text import find_answer, find_anywhere
from ib_lpo.scoring.answers.bounds import MAX_ANSWER_CHARS
from ib_lpo.scoring.answers.equality import Undecided, judgeable, same_answer
from ib_lpo.scoring.answers.spelling import normalise
from ib_lpo.scoring.grades import CORRECT, MAX_ANSWER, NO_ANSWER, WRONG, Cause, Grade, unverifiable

_WARM_UP = (
    ("\\frac{7}{x}", "\\frac{1}{2}"),
    ("x^2+\\sqrt{3}", "\\sin x"),
    ("x^2-1", "(x-1)(x+1)"),
    ("2\\pi r", "2\\sin(\\pi)"),
    ("y<2", "(1,2)\\cup(3,4)"),
)


class MathReward:
    """See the module; stateless. `thinking`: whether an answer counts wherever it stands."""

    def __init__(self, *, thinking: bool = False) -> None:
        self._find, self._thinking = (find_anywhere if thinking else find_answer), thinking

    def __call__(self, response: str, answer: str) -> Grade:
        """The grade of the final answer of `response`."""
        found = self._find(response)
        if found is None and find_anywhere(response) is not None:
            return WRONG
        expression = "" if found is None else found.expression
        if len(expression) > MAX_ANSWER_CHARS:
            return unverifiable(Cause.TOO_LONG)
        stated = normalise(expression)
        if not stated:
            return NO_ANSWER
        wanted = _gold_expression(answer)
        if not wanted:
            return unverifiable(Cause.BAD_GOLD)
        try:
            return self._told(CORRECT if same_answer(stated, wanted) else WRONG, expression)
        except Undecided as undecided:
            return unverifiable(undecided.cause)

    def _told(self, grade: Grade, expression: str) -> Grade:
        """`grade` with the answer, where others would not find it."""
        return grade._replace(answer=expression) if self._thinking and len(expression) <= MAX_ANSWER else grade

    def accepts(self, answer: str) -> bool:
        """Whether `answer` is one that other spellings can be compared with."""
        return judgeable(_gold_expression(answer))

    def warm_up(self) -> None:
        """Build the parser's tables and sympy's caches, which the first items would otherwise pay for."""
        for found, wanted in _WARM_UP:
            self(f"\\boxed{{{found}}}", wanted)


def _gold_expression(gold: str) -> str:
    """Normalised; empty for one that is too long."""
    stated = find_answer(gold)
    expression = gold if stated is None else stated.expression
    return normalise(expression) if len(expression) <= MAX_ANSWER_CHARS else ""


REWARD = MathReward()
THINKING = MathReward(thinking=True)
