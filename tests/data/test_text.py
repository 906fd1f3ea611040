"""Normalised texts and words: laws, and the spellings that must and must not fall together."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ib_lpo.data.preparation.text import normalise, words

PIECES = st.sampled_from(
    [
        "x",
        "X",
        "12",
        " ",
        "  ",
        "\n",
        "$",
        "\\$",
        "\\(",
        "\\]",
        "\\,",
        "\\left(",
        "\\leftarrow ",
        "\\dfrac",
        "{3}",
        "{10}",
        "^",
        "²",
        "?",
        ".",
        "~",
    ]
)
TEXTS = st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=30)


@settings(max_examples=400, deadline=None)
@given(TEXTS)
def test_normalising_twice_changes_nothing_but_the_case_that_maths_kept(text):
    once = normalise(text)
    assume(once == once.casefold())
    assert normalise(once) == once


@given(
    st.lists(st.text("abcz", min_size=1, max_size=5) | st.text("019", min_size=1, max_size=5), max_size=8),
    st.sampled_from([" ", "\n", " \t ", "~", "\\quad "]),
)
def test_words_do_not_run_together_however_they_are_set_apart(parts, gap):
    assert words(" ".join(parts)) == parts
    assert normalise(gap.join(parts)) == normalise(" ".join(parts)) == " ".join(parts)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Find $x$ if $x + 1 = 2$.", "find \\(x\\) if \\[x+1=2\\]"),
        ("$\\left( 3, \\dfrac{1}{2} \\right)$", "$(3,\\frac12)$"),
        ("$\\bigl(\\tfrac{x}{2}\\bigr)\\!$ for \\textbf{all} $x$", "$(\\frac x2)$ for all $x$"),
        ("$\\displaystyle\\sum\\limits_{i} 3 \\; \\text{cm}$", "$\\sum_i 3 \\mathrm{cm}$"),
        ("$2^{10}+1$", "$2¹⁰ + 1$"),
        ("THE $N$-TH", "the $N$-th"),
        ("Compute $1\\,000 + x^{2}$:", "Compute $1000+x²$"),
        ("What is \uff12\uff0b\uff13?", "what is 2+3"),
        ("Straße\\\\ and so on", "STRASSE and so on"),
    ],
)
def test_spellings_of_one_question(one, other):
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("digits 1 2", "digits 12"),
        ("x^2", "x2"),
        ("2-2", "2+2"),
        ("\\leftarrow", "arrow"),
        ("x^{10}", "x^10"),
        ("$5!$", "$5$"),
        ("a_1", "a1"),
        ("Find $n$ of $N$", "Find $N$ of $n$"),
        ("$\\Delta$", "$\\delta$"),
        ("$x¹⁰$", "$x^10$"),
    ],
)
def test_different_questions_stay_apart(one, other):
    assert normalise(one) != normalise(other)


def test_words_of_maths_and_of_languages_without_spaces():
    assert words("Find \\frac{x}{2}, then 3.5 of it!") == ["find", "frac", "x", "2", "then", "3", "5", "of", "it"]
    assert words("$\\left(\\dfrac12 \\, X^{2}\\right)\\text{ cm}$ WITH 3cm") == words(
        "\\[\\big(\\frac{1}{2}x^2\\big) \\mathrm{cm}\\] with 3 cm"
    )
    assert words("求所有 n 的和") == ["求", "所", "有", "n", "的", "和"]
