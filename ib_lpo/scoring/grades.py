"""What grading finds about one response."""

from enum import StrEnum
from typing import NamedTuple

from ib_lpo.tree import Verdict

MAX_ANSWER = 900  # characters of an answer that a reward returns; four bytes each have to fit into a reply


class Cause(StrEnum):
    """Why an item is UNVERIFIABLE."""

    TOO_LONG = "too_long"  # answer expression, or the whole item, above its bound
    TOO_DEEP = "too_deep"  # answer expression nested too deeply to be parsed
    UNBOUNDED = "unbounded"  # answer expression with a tower, a huge factorial, an integral: no bound on what it takes to compare
    BAD_GOLD = "bad_gold"  # gold answer empty, too long, or without a parse
    UNDECIDED = "undecided"  # the reward itself says that it cannot tell
    REWARD_ERROR = "reward_error"  # the reward raised, or returned something else than a number in [0, 1]
    MEMORY = "memory"  # the comparison came near the memory bound
    OVERRUN = "overrun"  # the deadline passed
    CRASH = "crash"  # the grading process died


class Grade(NamedTuple):
    """A verdict and its reward; `cause` is set for UNVERIFIABLE alone, which alone has no reward.

    `answer`: what the response answers, where the reward says so; else it is looked for as scoring/answer_text.py does.
    """

    verdict: Verdict
    cause: Cause | None = None
    reward: float | None = None  # in [0, 1]; 1.0 is CORRECT, less is WRONG with that much credit
    answer: str | None = None


CORRECT, WRONG, NO_ANSWER = Grade(Verdict.CORRECT, None, 1.0), Grade(Verdict.WRONG, None, 0.0), Grade(Verdict.NO_ANSWER, None, 0.0)


def unverifiable(cause: Cause) -> Grade:
    """No reward, for a reason."""
    return Grade(Verdict.UNVERIFIABLE, cause)


def graded(reward: float) -> Grade:
    """The grade of a reward in [0, 1]."""
    return CORRECT if reward == 1.0 else Grade(Verdict.WRONG, None, float(reward))
