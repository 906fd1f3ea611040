"""The kinds of spelling of answer_kinds.py: each pair has the grade it must have, whichever side is the gold answer."""

import pytest

from ib_lpo.scoring.grades import CORRECT, WRONG
from ib_lpo.scoring.rewards.math import REWARD, THINKING
from tests.scoring.answer_kinds import KINDS

MARKS = ("boxed{", "####", "think")
MORE_THAN_EQUAL = {"conditions", "thinking"}  # kinds of which a side says more than the other


def stated(response: str) -> str:
    return response if any(mark in response for mark in MARKS) else f"Therefore $\\boxed{{{response}}}$, as was to be found."


def cases(side: str):
    pairs = [(kind, pair) for kind, of in KINDS.items() for pair in getattr(of, side)]
    return [pytest.param(*pair, id=f"{kind}: {pair[0]} | {pair[1]}") for kind, pair in pairs]


@pytest.mark.parametrize(("response", "gold"), cases("right"))
def test_what_says_the_same_is_correct(response, gold):
    assert REWARD(stated(response), gold) == CORRECT
    assert REWARD.accepts(gold)


@pytest.mark.parametrize(("response", "gold"), cases("wrong"))
def test_what_does_not_is_wrong(response, gold):
    assert REWARD(stated(response), gold) == WRONG


@pytest.mark.parametrize("side", ["right", "wrong"])
def test_it_does_not_matter_which_of_two_plain_answers_is_the_gold_one(side):
    expected = {"right": CORRECT, "wrong": WRONG}[side]
    plain = [(kind, pair) for kind, of in KINDS.items() if kind not in MORE_THAN_EQUAL for pair in getattr(of, side)]
    pairs = [(kind, *pair) for kind, pair in plain if not any(mark in text for mark in MARKS for text in pair)]
    grades = {(kind, one, other): REWARD(stated(other), one) for kind, one, other in pairs}
    assert {pair: grade for pair, grade in grades.items() if grade != expected} == {}


def test_thinking_counts_where_it_is_asked_to():
    response = r"<think>it must be \boxed{7}, no, wait</think> I do not know."
    assert (REWARD(response, "7"), THINKING(response, "7")) == (WRONG, CORRECT._replace(answer="7"))
