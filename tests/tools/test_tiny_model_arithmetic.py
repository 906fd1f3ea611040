"""Worked solutions: every equation true, whatever the style."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_model.arithmetic import STYLES, chain, parse, solution

TERMS = st.lists(st.integers(-99, 99), min_size=2, max_size=6).map(lambda terms: (abs(terms[0]), *terms[1:]))


@given(TERMS)
def test_parse_reads_what_chain_writes(terms):
    assert parse(chain(terms)) == tuple(terms)
    assert eval(chain(terms)) == sum(terms)


@pytest.mark.parametrize("style", STYLES)
@given(terms=TERMS)
def test_every_equation_is_true_and_the_last_one_gives_the_sum(style, terms):
    steps = re.findall(r"(-?\d[\d +-]*) = (-?\d+)\.", STYLES[style](terms))
    assert [left for left, right in steps if eval(left) != int(right)] == []
    assert int(steps[-1][1]) == sum(terms)


@given(TERMS, st.integers(0, 100))
def test_solutions_end_in_the_boxed_sum(terms, seed):
    text = solution(terms, random.Random(seed), dict.fromkeys(STYLES, 1.0))
    assert text.endswith(f". \\boxed{{{sum(terms)}}}")


def test_weights_choose_the_style():
    texts = {solution((3, 4), random.Random(seed), {"at_once": 1.0, "by_sign": 0.0}) for seed in range(30)}
    assert texts == {"Work at once: 3 + 4 = 7. \\boxed{7}"}


def test_four_styles_of_the_same_question():
    terms = (12, 47, -20, 5)
    assert {name: style(terms) for name, style in STYLES.items()} == {
        "in_order": "12 + 47 = 59. 59 - 20 = 39. 39 + 5 = 44. ",
        "in_pairs": "12 + 47 = 59. -20 + 5 = -15. 59 - 15 = 44. ",
        "by_sign": "Plus 12 + 47 = 59. 59 + 5 = 64. Minus 20 = 20. 64 - 20 = 44. ",
        "at_once": "12 + 47 - 20 + 5 = 44. ",
    }


@pytest.mark.parametrize("expression", ["2 * 3", "", "x + 1", "1.5 + 2"])
def test_other_expressions_are_refused(expression):
    with pytest.raises(ValueError, match="chain_sum"):
        parse(expression)
