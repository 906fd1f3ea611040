"""A judge makes a grade of whatever a reward does."""

import math

import numpy as np
import pytest

from ib_lpo.scoring.grades import CORRECT, NO_ANSWER, WRONG, Cause, Grade, unverifiable
from ib_lpo.scoring.grading import Judge
from ib_lpo.tree import Verdict


def judged(result):
    return Judge(lambda response, answer: result, "mine").grade("response", "7")


@pytest.mark.parametrize(
    ("result", "grade"),
    [
        (1.0, CORRECT),
        (1, CORRECT),
        (True, CORRECT),
        (0.0, WRONG),
        (False, WRONG),
        (np.float32(0.5), Grade(Verdict.WRONG, None, 0.5)),
        (0.25, Grade(Verdict.WRONG, None, 0.25)),
        (None, unverifiable(Cause.UNDECIDED)),
        (NO_ANSWER, NO_ANSWER),
        (CORRECT, CORRECT),
        (Grade(Verdict.WRONG, None, 0.75), Grade(Verdict.WRONG, None, 0.75)),
        (unverifiable(Cause.TOO_LONG), unverifiable(Cause.TOO_LONG)),
    ],
)
def test_what_a_reward_may_return(result, grade):
    assert judged(result) == grade


@pytest.mark.parametrize(
    "result",
    [
        math.nan,
        math.inf,
        -0.1,
        1.0001,
        "1.0",
        [1.0],
        1j,
        Grade(Verdict.CORRECT, None, 0.5),
        Grade(Verdict.WRONG, None, 1.0),
        Grade(Verdict.WRONG),
        Grade(Verdict.UNVERIFIABLE),
        Grade(Verdict.UNVERIFIABLE, Cause.BAD_GOLD, 0.0),
        Grade("right", None, 1.0),
    ],
)
def test_what_it_may_not_is_a_reward_error_and_is_said_once(result, capfd):
    judge = Judge(lambda response, answer: result, "mine")
    assert [judge.grade("response", "7") for _ in range(3)] == [unverifiable(Cause.REWARD_ERROR)] * 3
    assert capfd.readouterr().err.count("verifier.reward=mine") == 1


def test_an_exception_is_a_reward_error_with_its_first_traceback(capfd):
    def broken(response, answer):
        raise KeyError(response)

    judge = Judge(broken, "mine")
    assert judge.grade("first", "7") == judge.grade("second", "7") == unverifiable(Cause.REWARD_ERROR)
    told = capfd.readouterr().err
    assert "KeyError: 'first'" in told and "Traceback" in told and "second" not in told


def test_running_out_of_memory_is_not_the_rewards_error():
    def hungry(response, answer):
        raise MemoryError

    with pytest.raises(MemoryError):
        Judge(hungry, "mine").grade("response", "7")


def test_a_reward_without_accepts_takes_every_gold_and_one_that_fails_on_it_none():
    class Picky:
        def __call__(self, response, answer):
            return 1.0

        def accepts(self, answer):
            return {"7": True, "8": False}[answer]

    assert Judge(lambda response, answer: 1.0, "mine").accepts("anything")
    assert [Judge(Picky(), "mine").accepts(answer) for answer in "789"] == [True, False, False]
