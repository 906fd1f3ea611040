import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.scoring.answer_text import TAIL_CHARS, answer_offset, find_answer, first_answer_offset


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"so \boxed{7}", "7"),
        (r"\boxed{1} no, \boxed{2}. Hope that helps {x}!", "2"),
        (r"\boxed{\frac{1}{\sqrt{2}}} text } after", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{ \{ }", r"\{"),
        (r"\boxed {5}", "5"),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\boxed 5", "5"),
        (r"\boxed{3}, no, \boxed -1,234.5.", "-1,234.5"),
        (r"\fbox{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed 5 then \boxed{6}", "6"),
        (r"\boxed{3} and then \boxed{\frac{1}{2", "3"),
        (r"{ unclosed \boxed{9}", "9"),
        (r"}}} \boxed{9}", "9"),
        ("\\boxed{a\nb}", "a\nb"),
        ("work\n#### 72", "72"),
        ("work #### 1,234.5 \nbye", "1,234.5"),
        ("#### -3/4.", "-3/4"),
        ("#### 72<|im_end|>", "72"),
        ("#### 1\n#### 2", "2"),
        ("#### 5\n" + r"\boxed{6}", "6"),
        (r"\boxed{}", ""),
    ],
)
def test_finds_the_last_stated_answer(text, expected):
    assert find_answer(text).expression == expected


@pytest.mark.parametrize(
    "text", ["", "7", r"\boxed{7", r"\boxed7", r"\boxed answers", r"\boxed x", "boxed{7}", "#### Step 1: add\n", "### 5", r"\\boxed"]
)
def test_finds_nothing_where_nothing_is_stated(text):
    assert find_answer(text) is None


def test_offsets_point_at_the_marker_in_the_whole_text():
    text = "x" * (TAIL_CHARS * 2) + r"\boxed{7} end"
    assert text[find_answer(text).start :] == r"\boxed{7} end"


def test_an_answer_before_the_tail_is_not_final():
    assert find_answer(r"\boxed{7}" + "x" * TAIL_CHARS) is None


def test_offset_is_the_graded_answer_or_else_the_unclosed_box():
    assert answer_offset(r"a \boxed{1} b \boxed{2") == 2
    assert answer_offset(r"a \boxed{1") == 2
    assert answer_offset("nothing") is None


@pytest.mark.parametrize(
    "hostile",
    [r"\boxed{" * 100_000, "{" * 1_000_000, "#### 5" + " " * 1_000_000 + "x", "####5<" * 200_000, "\\boxed" + " " * 10**6, "}" * 10**6],
)
def test_hostile_texts_cost_linear_time(hostile):
    begun = time.perf_counter()
    assert find_answer(hostile) is None
    assert time.perf_counter() - begun < 2.0


@given(before=st.text(alphabet="ab {}\\\n#"), inner=st.text(alphabet="ab 1+"), after=st.text(alphabet="ab }\n1#"))
def test_a_box_is_found_whatever_surrounds_it(before, inner, after):
    before = before.rstrip("\\")
    found = find_answer(f"{before}\\boxed{{{inner}}}{after}")
    assert found.expression == inner.strip()
    assert found.start == len(before)


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        (r"a \boxed{1} b \boxed{2}", 2),
        (r"a \boxed{1", 2),
        ("so\n#### 7\n\\boxed{7}", 3),
        (r"I will write \boxed{}. It is \boxed{7}", 29),
        (r"within \boxed{ }.", None),
        ("#### Step 1: add", None),
        ("nothing", None),
    ],
)
def test_the_first_answer_is_the_first_that_says_something(text, offset):
    assert first_answer_offset(text) == offset
