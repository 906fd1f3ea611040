import pytest

from ib_lpo.scoring.grading import (
    CORRECT,
    MAX_ANSWER_CHARS,
    MAX_DEPTH,
    NO_ANSWER,
    WRONG,
    Cause,
    Grade,
    gold_is_verifiable,
    grade,
    normalise,
)
from ib_lpo.tree import Verdict


def boxed(expression: str) -> str:
    return f"Therefore $\\boxed{{{expression}}}$."


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("7", "7"),
        ("007", "7"),
        ("7.0", "7"),
        ("1,234", "1234"),
        ("1/2", r"\frac{1}{2}"),
        (r"-\dfrac{1}{2}", "-1/2"),
        ("0.5", r"\frac12"),
        ("\u22125", "-5"),
        (r"\left( 1, 2 \right)", "(1,2)"),
        (r"\sqrt{8}", r"2\sqrt{2}"),
        ("x^2+2x+1", "(x+1)^2"),
        ("x**2 + 1", "x^2+1"),
        (r"\{2, 1\}", r"\{1,2\}"),
        ("x=5", "5"),
        (r"5\text{ cm}", "5"),
        (r"50\%", "50"),
        ("7", "$7$."),
        ("72", "a chain of thought\n#### 72"),
        ("3", r"\boxed{3}"),
        (r"\text{Yes}", "Yes"),
        ("0.333333", r"\frac{1}{3}"),
    ],
)
def test_equal_answers_are_correct(answer, gold):
    assert grade(boxed(answer), gold) == CORRECT


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("8", "7"),
        ("11/2", "1 1/2"),
        ("7.5", "7"),
        ("-7", "7"),
        (r"\sqrt{3}", r"2\sqrt{2}"),
        ("(2,1)", "(1,2)"),
        ("No", "Yes"),
        ("x^2+2x+2", "(x+1)^2"),
        ("1/0", "7"),
        ("0.34", r"\frac{1}{3}"),
        ("?!", "7"),
        ("__import__('os')", "7"),
    ],
)
def test_unequal_answers_are_wrong(answer, gold):
    assert grade(boxed(answer), gold) == WRONG


@pytest.mark.parametrize("response", ["", "the answer is 7", r"\boxed{}", r"\boxed{ . }", r"\boxed{7", "\ud800", "7" * 10**6])
def test_a_response_without_answer(response):
    assert grade(response, "7") == NO_ANSWER


def test_the_graded_answer_is_the_last_complete_one():
    assert grade(r"\boxed{8} wait \boxed{7} or \boxed{9", "7") == CORRECT


def test_a_right_answer_far_inside_a_long_response_tail():
    assert grade("w " * 500_000 + boxed("7") + " tail" * 100, "7") == CORRECT


@pytest.mark.parametrize(
    ("answer", "gold", "cause"),
    [
        ("1+" * MAX_ANSWER_CHARS + "1", "7", Cause.TOO_LONG),
        ("(" * (MAX_DEPTH + 1) + "1" + ")" * (MAX_DEPTH + 1), "7", Cause.TOO_DEEP),
        ("7", "", Cause.BAD_GOLD),
        ("7", "7" * (MAX_ANSWER_CHARS + 1), Cause.BAD_GOLD),
        ("7", r"\frac{", Cause.BAD_GOLD),
    ],
)
def test_undecidable_items_are_unverifiable_not_wrong(answer, gold, cause):
    assert grade(boxed(answer), gold) == Grade(Verdict.UNVERIFIABLE, cause)


def test_an_unparsable_gold_still_equals_its_own_spelling():
    assert grade(boxed(r"\frac{a}{b} ? c"), r"\frac{a}{b} ? c") == CORRECT


@pytest.mark.parametrize("gold", ["7", "1/2", r"\frac{\sqrt{3}}{2}", "(1,2)", "x=5", "#### 72", "$12$.", r"\text{Yes}"])
def test_ordinary_golds_are_verifiable(gold):
    assert gold_is_verifiable(gold)


@pytest.mark.parametrize("gold", ["", " ", r"\frac{", "?!", "\u0665", "1" * (MAX_ANSWER_CHARS + 1)])
def test_golds_that_nothing_can_be_wrong_about(gold):
    assert not gold_is_verifiable(gold)


def test_normalisation_keeps_spaces_that_separate_numbers():
    assert normalise("1 1/2") == "1 1/2"
    assert normalise(r" $ x = \left( 1 , 2 \right) $ .") == "x=(1,2)"
