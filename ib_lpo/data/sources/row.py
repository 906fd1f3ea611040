"""A row of questions and the rules every row obeys. Imports no torch."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ib_lpo.data.config import SourceConfig
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


def from_records(records: Iterable[Mapping[str, Any]], columns: Iterable[str], source: SourceConfig, *, where: str) -> list[Row]:
    """Rows from the question, answer and id columns of `records`, the first `source.size` of them.

    `where` names the origin in ids and errors. Raises DataError for a column that is absent, an empty question or answer,
    an id that comes twice, or fewer records than `source.size`.
    """
    _require(source, list(columns), where)
    rows: list[Row] = []
    seen: dict[str, int] = {}
    for number, record in enumerate(records):
        if len(rows) == source.size:
            break
        row = _row(record, number, source, where)
        if row.id in seen:
            raise DataError(
                f"{where}: row {number} has the id {row.id!r} of row {seen[row.id]}; make {source.id_column!r} unique or drop id_column"
            )
        seen[row.id] = number
        rows.append(row)
    return enough(rows, source, where)


def enough(rows: list[Row], source: SourceConfig, where: str) -> list[Row]:
    """`rows` again. Raises DataError when there are none, or fewer than `source.size`."""
    if not rows:
        raise DataError(f"{where}: has no rows; point to a source with questions")
    if source.size is not None and len(rows) < source.size:
        raise DataError(f"{where}: size={source.size}, but it has only {len(rows)} rows; lower size or remove it")
    return rows


def final_answer(text: str) -> str:
    """The answer a solution ends in: its last `\\boxed{...}` (MATH) or `#### ...` (GSM8K); without either, `text` itself."""
    stated = find_answer(text)
    return text.strip() if stated is None else stated.expression


def _require(source: SourceConfig, columns: list[str], where: str) -> None:
    wanted = {"question_column": source.question_column, "answer_column": source.answer_column}
    wanted |= {"solution_column": source.solution_column, "id_column": source.id_column}
    for key, column in wanted.items():
        if column is not None and column not in columns:
            raise DataError(f"{where}: {key}={column!r} is not a column; the columns are {', '.join(columns)}")


def _row(record: Mapping[str, Any], number: int, source: SourceConfig, where: str) -> Row:
    question = _text(record.get(source.question_column))
    answer = "" if source.answer_column is None else final_answer(_text(record.get(source.answer_column)))
    solution = "" if source.solution_column is None else _text(record.get(source.solution_column))
    for column, text in ((source.question_column, question), (source.answer_column, answer), (source.solution_column, solution)):
        if column is not None and not text.strip():
            raise DataError(f"{where}: row {number} has an empty {column!r}; fill it in or remove the row")
    return Row(f"{where}-{number}" if source.id_column is None else _text(record.get(source.id_column)), question, answer, solution)


def _text(value: object) -> str:
    """A cell as text; a list (OlympiadBench's final answers) becomes its items joined by commas."""
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
