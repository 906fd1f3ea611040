"""A row of questions and the rules every row obeys. Imports no torch."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from ib_lpo.data.config import SourceConfig
from ib_lpo.data.sources.cells import lead_of, lookup, text_of
from ib_lpo.errors import UserError
from ib_lpo.scoring.answer_text import find_answer


class DataError(UserError):
    """Questions that cannot be loaded; one line: what, where, how to fix."""


class Row(NamedTuple):
    """One question before it is tokenised."""

    id: str
    question: str
    answer: str  # the final answer alone; "" when the source has no gold answers (answer_column null)
    solution: str = ""  # worked; "" without solution_column


def from_records(
    records: Iterable[Mapping[str, Any]], columns: Sequence[str], source: SourceConfig, *, where: str, prefix: str
) -> list[Row]:
    """Rows from the question, answer, solution and id columns of `records`: `source.size` of them after `source.skip`.

    `where` names the origin in errors, `prefix` in the ids of rows without one. Raises DataError for a column that is absent, an empty
    question, answer or id, a cell that is no text, an id that comes twice, a question without `source.question_pattern`, or fewer records
    than asked for.
    """
    if not columns:
        return enough([], source, where)
    _require(source, columns, where)
    pattern = question_pattern(source, where)
    rows: list[Row] = []
    seen: dict[str, int] = {}
    texts: dict[str, str] = {}  # one object per text: data sets that repeat their questions stay small
    stop = None if source.size is None else source.skip + source.size
    for number, record in islice(enumerate(records), source.skip, stop):
        row = _row(record, source, pattern, where=f"{where}: row {number}", default_id=f"{prefix}-{number}")
        if row.id in seen:
            raise DataError(
                f"{where}: row {number} has the id {row.id!r} of row {seen[row.id]}; make {source.id_column!r} unique or drop id_column"
            )
        seen[row.id] = number
        rows.append(Row(row.id, *(texts.setdefault(text, text) for text in row[1:])))
    return enough(rows, source, where)


def enough(rows: list[Row], source: SourceConfig, where: str) -> list[Row]:
    """`rows` again. Raises DataError when there are none, or fewer than `source.size`."""
    after = f" after skip={source.skip}" if source.skip else ""
    if not rows:
        raise DataError(f"{where}: has no rows{after}; point to a source with questions")
    if source.size is not None and len(rows) < source.size:
        raise DataError(f"{where}: size={source.size}, but it has only {len(rows)} rows{after}; lower size or remove it")
    return rows


def final_answer(text: str) -> str:
    """The answer a solution ends in: its last `\\boxed{...}` (MATH) or `#### ...` (GSM8K); without either, `text` itself."""
    stated = find_answer(text)
    return text.strip() if stated is None else stated.expression


def columns_of(source: SourceConfig) -> dict[str, str]:
    """Setting to column, of the columns that `source` reads."""
    settings = ("question_column", "answer_column", "solution_column", "id_column")
    return {key: column for key in settings if (column := getattr(source, key)) is not None}


def _require(source: SourceConfig, columns: Sequence[str], where: str) -> None:
    for key, column in columns_of(source).items():
        if column not in columns and lead_of(column) not in columns:
            raise DataError(f"{where}: {key}={column!r} is not a column; the columns are {', '.join(columns)}")


def question_pattern(source: SourceConfig, where: str) -> re.Pattern[str] | None:
    """`source.question_pattern`, compiled. Raises DataError when it is malformed or has no group."""
    if source.question_pattern is None:
        return None
    try:
        pattern = re.compile(source.question_pattern)
    except re.error as error:
        raise DataError(f"{where}: question_pattern={source.question_pattern!r}: no regular expression ({error}); correct it") from None
    if not pattern.groups:
        raise DataError(f"{where}: question_pattern={source.question_pattern!r}: has no group; put the question's part in (...)")
    return pattern


def _row(record: Mapping[str, Any], source: SourceConfig, pattern: re.Pattern[str] | None, *, where: str, default_id: str) -> Row:
    cells = {key: _cell(record, key, column, where) for key, column in columns_of(source).items()}
    if pattern is not None:
        cells["question_column"] = matched(pattern, cells["question_column"], where)
    if "answer_column" in cells:
        cells["answer_column"] = final_answer(cells["answer_column"])
    for key, text in cells.items():
        if not text.strip():
            raise DataError(f"{where} has an empty {getattr(source, key)!r}; fill it in or remove the row")
    identity = cells.get("id_column", default_id)
    return Row(identity, cells["question_column"], cells.get("answer_column", ""), cells.get("solution_column", ""))


def _cell(record: Mapping[str, Any], key: str, column: str, where: str) -> str:
    try:
        text = text_of(lookup(record, column), several=key == "answer_column")
        text.encode()
    except LookupError as error:
        raise DataError(f"{where}: {key}={column!r} leads nowhere: {error.args[0]}; correct it") from None
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: {key}={column!r} has half a character ({error.object[error.start]!r}); correct the row") from None
    except ValueError as error:
        raise DataError(f"{where}: {key}={column!r} {error}") from None
    return text


def matched(pattern: re.Pattern[str], text: str, where: str) -> str:
    """The question inside `text`. Raises DataError when there is none."""
    found = pattern.search(text)
    if found is None:
        raise DataError(f"{where}: question_pattern={pattern.pattern!r} is not in the question {text[:80]!r}; correct it")
    return found[1] or ""
