"""Gold answers that cannot be judged against, found by the real verifier when the data is loaded."""

import pytest

from ib_lpo.data.config import DataConfig
from ib_lpo.data.gold import gold_answers, without_bad_answers
from ib_lpo.data.questions import QuestionSets
from ib_lpo.data.sources import DataError
from ib_lpo.tree import Question

GOOD = ["7", "\\frac{1}{2}", "x^2+1", "(1, 2]"]
BAD = ["\\frac{", "", "see the figure on page 3 {"]


def question(name: str, answer: str) -> Question:
    return Question(id=name, text="?", answer=answer, prompt_ids=(1,), answer_ids=(2,))


def sets(train: list[str], held_out: list[str]) -> QuestionSets:
    return QuestionSets([question(f"t-{i}", a) for i, a in enumerate(train)], [question(f"h-{i}", a) for i, a in enumerate(held_out)], 1)


@pytest.fixture(scope="module")
def check(verifier):
    return verifier.check_gold


def test_the_error_names_question_answer_and_fix(check):
    given = sets([*GOOD, BAD[0]], [BAD[1], "7"])
    with pytest.raises(DataError) as caught:
        without_bad_answers(given, check(gold_answers(given)), DataConfig(questions_per_step=1))
    message = str(caught.value)
    assert message.startswith("2 gold answers cannot be judged against")
    for words in ("question t-4: '\\\\frac{'", "question h-0: ''", "data.bad_answers=drop"):
        assert words in message
    assert "t-0" not in message and "\n" not in message


def test_many_are_counted_and_some_named(check):
    given = sets(GOOD + BAD * 4, [])
    with pytest.raises(DataError, match=r"^12 gold answers .*; and 7 more\)"):
        without_bad_answers(given, check(gold_answers(given)), DataConfig(questions_per_step=1))


def test_dropped_questions_are_gone_and_counted(check):
    given = sets([*GOOD, *BAD], [BAD[0], "7"])
    left = without_bad_answers(given, check(gold_answers(given)), DataConfig(questions_per_step=4, bad_answers="drop"))
    assert [q.id for q in left.train] == ["t-0", "t-1", "t-2", "t-3"]
    assert [q.id for q in left.held_out] == ["h-1"]
    assert (left.overlap, left.unjudgeable) == (1, 4)


def test_too_few_left_is_an_error(check):
    given = sets(["7", *BAD], [])
    with pytest.raises(DataError, match="1 of 4 questions are left after removing those whose gold answer"):
        without_bad_answers(given, check(gold_answers(given)), DataConfig(questions_per_step=2, bad_answers="drop"))


def test_good_answers_change_nothing(check):
    given = sets(GOOD, ["7"])
    assert without_bad_answers(given, check(gold_answers(given)), DataConfig(questions_per_step=1)) is given


def test_a_held_out_set_does_not_vanish(check):
    given = sets(GOOD, BAD)
    with pytest.raises(DataError, match=r"data\.held_out: no question is left"):
        without_bad_answers(given, check(gold_answers(given)), DataConfig(questions_per_step=1, bad_answers="drop"))
