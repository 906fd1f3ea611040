"""One item put to a reward, whatever the reward does: always a Grade. Runs inside a grading process, which is killed when it overruns."""

import math
import numbers
import sys
import traceback

from ib_lpo.scoring.grades import MAX_ANSWER, Cause, Grade, graded, unverifiable
from ib_lpo.scoring.rewards.base import Reward
from ib_lpo.tree import Verdict


class Judge:
    """Asks one reward; tells stderr of the first item it fails on."""

    def __init__(self, reward: Reward, name: str) -> None:
        self._reward, self._name, self._told = reward, name, False

    def grade(self, response: str, answer: str) -> Grade:
        """The reward's opinion; UNVERIFIABLE with a cause when it has none or fails. Raises MemoryError."""
        try:
            return self._interpreted(self._reward(response, answer))
        except MemoryError:
            raise
        except Exception:  # a plug-in may raise anything, and must not cost more than its item
            return self._failed(traceback.format_exc())

    def accepts(self, answer: str) -> bool:
        """Whether the reward can judge against `answer`; False when it fails on it. Raises MemoryError."""
        accepts = getattr(self._reward, "accepts", None)
        try:
            return accepts is None or bool(accepts(answer))
        except MemoryError:
            raise
        except Exception:  # as above
            self._failed(traceback.format_exc())
            return False

    def _interpreted(self, result: object) -> Grade:
        if result is None:
            return unverifiable(Cause.UNDECIDED)
        if isinstance(result, Grade) and _consistent(result):
            return result
        if isinstance(result, Grade) or not _is_share(result):
            return self._failed(f"It returned {result!r:.200}, which is neither a number in [0, 1] nor None nor a consistent Grade.")
        return graded(float(result))

    def _failed(self, why: str) -> Grade:
        if not self._told:
            print(f"verifier.reward={self._name}: failed on an item, which is unverifiable; told once per process. {why}", file=sys.stderr)
            self._told = True
        return unverifiable(Cause.REWARD_ERROR)


def _is_share(value: object) -> bool:
    return isinstance(value, numbers.Real) and math.isfinite(value) and 0.0 <= value <= 1.0


def _consistent(grade: Grade) -> bool:
    if grade.verdict is Verdict.UNVERIFIABLE:
        return grade.reward is None and grade.answer is None and isinstance(grade.cause, Cause)
    if grade.cause is not None or not _is_share(grade.reward):
        return False
    if grade.answer is not None and not (isinstance(grade.answer, str) and len(grade.answer) <= MAX_ANSWER):
        return False
    bounds = {Verdict.CORRECT: grade.reward == 1.0, Verdict.NO_ANSWER: grade.reward == 0.0, Verdict.WRONG: grade.reward < 1.0}
    return bounds.get(grade.verdict, False)
