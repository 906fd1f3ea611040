"""Tokenised questions. A prompt is never cut: one that does not fit is an error."""

from typing import Any, NamedTuple

from ib_lpo.data.config import DataConfig, SourceConfig
from ib_lpo.data.preparation.text import normalise
from ib_lpo.data.prompts import prompt_tokens
from ib_lpo.data.sources import DataError, Row, read_rows
from ib_lpo.tree import Question


class QuestionSets(NamedTuple):
    """Training and held-out questions, with no normalised text in common."""

    train: list[Question]
    held_out: list[Question]  # empty without data.held_out
    overlap: int  # training questions left out because their normalised text is held out
    unjudgeable: int = 0  # questions left out because no response can be judged against their gold answer


def load_questions(source: SourceConfig, data: DataConfig, tokenizer: Any, *, max_prompt_tokens: int) -> list[Question]:
    """The questions of `source` in its order, under `data.template` and the chat template where `data.chat` asks for it.

    `tokenizer` is a transformers tokenizer. Raises DataError for unreadable sources, a malformed template, or prompts longer
    than `max_prompt_tokens`.
    """
    rows = read_rows(source)
    prompts = prompt_tokens([row.question for row in rows], data, tokenizer)
    check_lengths(rows, prompts, max_prompt_tokens)
    informed = prompt_tokens([row.question + _hint(row, data) for row in rows], data, tokenizer)
    (empty,) = prompt_tokens([""], data, tokenizer)
    lead = tokenizer(data.answer_lead, add_special_tokens=False)["input_ids"]
    answers = tokenizer([f"\\boxed{{{row.answer}}}" for row in rows], add_special_tokens=False)["input_ids"]
    return [
        Question(
            id=row.id,
            text=row.question,
            answer=row.answer,
            prompt_ids=tuple(prompt),
            answer_ids=tuple(answer) if row.answer else (),
            lead_ids=tuple(lead),
            empty_prompt_ids=tuple(empty),
            informed_prompt_ids=tuple(told) if row.answer else (),
        )
        for row, prompt, told, answer in zip(rows, prompts, informed, answers, strict=True)
    ]


def load_sets(data: DataConfig, tokenizer: Any, *, max_prompt_tokens: int) -> QuestionSets:
    """Training and held-out questions; a training question whose normalised text is also held out is left out and counted.

    Raises DataError as `load_questions` does, and when nothing, or less than one step, is left to train on.
    """
    train = load_questions(data.train, data, tokenizer, max_prompt_tokens=max_prompt_tokens)
    held_out = [] if data.held_out is None else load_questions(data.held_out, data, tokenizer, max_prompt_tokens=max_prompt_tokens)
    texts = {normalise(question.text) for question in held_out}
    shared = {text for text in {question.text for question in train} if normalise(text) in texts} if texts else set()
    kept = [question for question in train if question.text not in shared]
    check_enough(len(kept), len(train), data, removed="those that are held out")
    return QuestionSets(kept, held_out, len(train) - len(kept))


def check_enough(left: int, of: int, data: DataConfig, *, removed: str) -> None:
    """Raise DataError unless the training questions that are left fill a step."""
    if left < data.questions_per_step * data.batches_per_step:
        batches = f" x data.batches_per_step={data.batches_per_step}" if data.batches_per_step > 1 else ""
        raise DataError(
            f"data.train: {left} of {of} questions are left after removing {removed}, fewer than "
            f"data.questions_per_step={data.questions_per_step}{batches}; give more training questions or lower it"
        )


def _hint(row: Row, data: DataConfig) -> str:
    """What follows the question where the gold answer is shown."""
    try:
        return data.answer_hint.format(a=row.answer)
    except (KeyError, IndexError, ValueError) as error:
        raise DataError(
            f"data.answer_hint={data.answer_hint!r}: malformed ({error!r}); write {{a}} for the gold answer and double other braces"
        ) from None


def check_lengths(rows: list[Row], prompts: list[list[int]], limit: int) -> None:
    """Raise DataError when a prompt is longer than `limit`."""
    long = [(row.id, len(prompt)) for row, prompt in zip(rows, prompts, strict=True) if len(prompt) > limit]
    if long:
        others = f" and {len(long) - 1} more" if len(long) > 1 else ""
        longest = max(length for _, length in long)
        raise DataError(
            f"question {long[0][0]}{others}: prompt of {long[0][1]} tokens is longer than rollout.max_prompt_tokens={limit}; "
            f"raise it to {longest}, or remove the question{'s' if others else ''}"
        )
