r"""The reward `math`: what equals what, what is an answer, and what cannot be decided."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.scoring.answers.bounds import MAX_ANSWER_CHARS
from ib_lpo.scoring.answers.spelling import bare, normalise
from ib_lpo.scoring.grades import CORRECT, NO_ANSWER, WRONG, Cause, unverifiable
from ib_lpo.scoring.rewards.math import REWARD
from tests.scoring import answer_pairs


def boxed(expression: str) -> str:
    return f"Therefore $\\boxed{{{expression}}}$, which was to be found."


def cases(table):
    return [pytest.param(*pair, id=f"{family}: {pair[0]} | {pair[1]}") for family, pairs in table.items() for pair in pairs]


@pytest.mark.parametrize(("answer", "gold"), cases(answer_pairs.RIGHT))
def test_what_says_the_same_is_correct(answer, gold):
    assert REWARD(boxed(answer), gold) == CORRECT
    assert REWARD.accepts(gold)


@pytest.mark.parametrize(("answer", "gold"), cases(answer_pairs.WRONG))
def test_what_does_not_is_wrong(answer, gold):
    assert REWARD(boxed(answer), gold) == WRONG


def test_the_tables_are_large_and_distinct():
    for table in (answer_pairs.RIGHT, answer_pairs.WRONG):
        pairs = [pair for pairs in table.values() for pair in pairs]
        assert len(set(pairs)) == len(pairs) >= 80


@pytest.mark.parametrize("response", ["", "the answer is 7", r"\boxed{}", r"\boxed{ . }", r"\boxed{7", "\ud800", "7" * 10**6])
def test_a_response_without_answer(response):
    assert REWARD(response, "7") == NO_ANSWER


@pytest.mark.parametrize(
    "response",
    [
        r"\boxed{8} wait \boxed{7} or \boxed{9",
        r"\boxed{7} and that is {all}, dear \textbf{reader}",
        r"\boxed{\boxed{7}}",
        r"\boxed{{7}}",
        "7 * 9 = 63\n#### 7",
        "#### $7.00",
        "w " * 500_000 + r"\boxed{7}" + " tail" * 100,
    ],
)
def test_the_last_complete_answer_is_graded(response):
    assert REWARD(response, "7") == CORRECT


@pytest.mark.parametrize(
    ("answer", "gold", "cause"),
    [
        ("1+" * MAX_ANSWER_CHARS + "1", "7", Cause.TOO_LONG),
        (r"\sin(" * 13 + "1" + ")" * 13, "7", Cause.TOO_DEEP),
        ("10^{10^{10}}", "7", Cause.UNBOUNDED),
        ("1000000!", "7", Cause.UNBOUNDED),
        ("2^{2^{2^2}}", "65536", Cause.UNBOUNDED),
        ("(a+b+c+d+e)^{200}", "7", Cause.UNBOUNDED),
        (r"\int_0^1 2x\,dx", "1", Cause.UNBOUNDED),
        (r"\sum_{n=1}^{\infty} \sin(n^n)", "7", Cause.UNBOUNDED),
        ("7", "", Cause.BAD_GOLD),
        ("7", "7" * (MAX_ANSWER_CHARS + 1), Cause.BAD_GOLD),
        ("7", r"\frac{", Cause.BAD_GOLD),
        ("7", "10^{10^{10}}", Cause.BAD_GOLD),
    ],
)
def test_what_cannot_be_decided_is_unverifiable_not_wrong(answer, gold, cause):
    assert REWARD(boxed(answer), gold) == unverifiable(cause)


@pytest.mark.parametrize("spelling", [r"\frac{a}{b} ? c", "10^{10^{10}}", "1000000!", r"\int_0^1 f"])
def test_anything_equals_its_own_spelling(spelling):
    assert REWARD(boxed(spelling), spelling) == CORRECT


@pytest.mark.parametrize(
    "gold",
    [
        *("7", "1/2", r"\frac{\sqrt{3}}{2}", "(1,2)", "x=5", "#### 72", "$12$.", r"\text{Yes}", "(B)", "5 cm", r"\sin x", "5 million"),
        *(r"\text{4:30 p.m.}", "9:00 a.m.", "Monday", "Evelyn", "no solution", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    ],
)
def test_ordinary_golds_are_accepted(gold):
    assert REWARD.accepts(gold)


@pytest.mark.parametrize(
    "gold",
    ["The answer is 5.", "72 is the answer", "She has 3+4=7 apples, so 7", "nan", "None", "null", "N/A", r"x \text{ is even}"],
)
def test_prose_and_placeholders_are_no_golds(gold):
    assert not REWARD.accepts(gold)


@pytest.mark.parametrize("gold", ["", " ", r"\frac{", "?!", "\u0665", "1" * (MAX_ANSWER_CHARS + 1), "(1, ?!)", "9^{9^{9}}"])
def test_golds_that_nothing_can_be_wrong_about_are_not(gold):
    assert not REWARD.accepts(gold)


def test_normalisation_keeps_spaces_that_separate_numbers():
    assert normalise("1 1/2") == bare("1 1/2") == "1 1/2"
    assert normalise(r" $ x = \left( 1 , 2 \right) $ .") == "x=(1,2)"


NUMBERS = st.integers(-50, 50)


@given(a=NUMBERS, b=NUMBERS, over=st.integers(1, 12), times=st.integers(1, 5))
def test_ratios_compare_as_fractions_do(a, b, over, times):
    same = REWARD(boxed(rf"\frac{{{a * times}}}{{{over * times}}}"), f"{b}/{over}")
    assert same == (CORRECT if a == b else WRONG)


@given(
    first=st.tuples(NUMBERS, NUMBERS), second=st.tuples(NUMBERS, NUMBERS), kinds=st.tuples(*[st.sampled_from(["()", "[]", "[)", "(]"])] * 2)
)
def test_pairs_are_equal_in_bracket_and_element(first, second, kinds):
    spelled = [f"{kind[0]}{x}, {y}{kind[1]}" for kind, (x, y) in zip(kinds, (first, second), strict=True)]
    assert REWARD(boxed(spelled[0]), spelled[1]) == (CORRECT if (first, kinds[0]) == (second, kinds[1]) else WRONG)


@given(roots=st.tuples(st.integers(-9, 9), st.integers(-9, 9)), shift=st.sampled_from([0, 0, 1, -1]))
def test_factored_and_expanded_polynomials_are_told_apart(roots, shift):
    p, q = roots
    factored = f"(x-{p})(x-{q})".replace("--", "+")
    expanded = f"x^2+{-(p + q)}x+{p * q + shift}".replace("+-", "-")
    assert REWARD(boxed(factored), expanded) == (CORRECT if shift == 0 else WRONG)
