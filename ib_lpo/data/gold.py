"""Gold answers that no response can be right or wrong about: found when the data is loaded, not when a step meets them."""

from collections.abc import Sequence

from ib_lpo.data.config import DataConfig
from ib_lpo.data.questions import QuestionSets, check_enough
from ib_lpo.data.sources import DataError
from ib_lpo.tree import Question

_NAMED = 5  # bad answers that an error spells out
_SHOWN_CHARS = 80


def gold_answers(sets: QuestionSets) -> list[str]:
    """The gold answers of all questions, those for training first."""
    return [question.answer for question in (*sets.train, *sets.held_out)]


def without_bad_answers(sets: QuestionSets, bad: Sequence[int], data: DataConfig) -> QuestionSets:
    """The sets without the questions whose index in `gold_answers` is in `bad`.

    Raises DataError, naming questions and answers, if there are any and data.bad_answers is `error`, or if too few are left.
    """
    questions = [*sets.train, *sets.held_out]
    if not bad:
        return sets
    if data.bad_answers == "error":
        raise DataError(_complaint([questions[i] for i in sorted(bad)]))
    drop = {id(questions[i]) for i in bad}
    train, held_out = ([q for q in of if id(q) not in drop] for of in (sets.train, sets.held_out))
    check_enough(len(train), len(sets.train), data, removed="those whose gold answer cannot be judged against")
    if sets.held_out and not held_out:
        raise DataError("data.held_out: no question is left, as no gold answer can be judged against; correct them or remove the section")
    return QuestionSets(train, held_out, sets.overlap, len(drop))


def _complaint(bad: list[Question]) -> str:
    named = "; ".join(f"question {q.id}: {q.answer[:_SHOWN_CHARS]!r}" for q in bad[:_NAMED])
    more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    return (
        f"{len(bad)} gold answers cannot be judged against ({named}{more}); correct them, "
        "or set data.bad_answers=drop to leave these questions out"
    )
