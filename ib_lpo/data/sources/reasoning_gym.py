"""Questions made by a reasoning-gym generator: endless, offline, and the same for the same name, seed, size and options."""

from typing import Any

import reasoning_gym

from ib_lpo.data.config import SourceConfig
from ib_lpo.data.sources.row import DataError, Row, matched, question_pattern


def generate(source: SourceConfig) -> list[Row]:
    """`source.size` questions after the first `source.skip`.

    Raises DataError for an unknown generator or option, or a value the generator refuses.
    """
    where = f"reasoning_gym {source.name}"
    if source.size is None:
        raise DataError(f"{where}: size is absent; a generator never ends, so say how many questions to take")
    if source.name not in reasoning_gym.factory.DATASETS:
        raise DataError(f"{where}: no such generator; take one of https://github.com/open-thought/reasoning-gym, such as chain_sum")
    try:
        items = reasoning_gym.create_dataset(source.name, seed=source.seed, size=source.skip + source.size, **source.options)
    except (TypeError, ValueError, AssertionError) as error:
        raise DataError(f"{where}: options={source.options} refused: {' '.join(str(error).split())}; correct data options") from None
    pattern = question_pattern(source, where)
    rows = [
        Row(f"{source.name}-s{source.seed}-{i}", item["question"], str(item["answer"] or ""), _solution(item, source, where))
        for i, item in ((i, items[i]) for i in range(source.skip, source.skip + source.size))
    ]
    if pattern is not None:
        rows = [row._replace(question=matched(pattern, row.question, f"{where}: {row.id}")) for row in rows]
    for row in rows:
        if not row.answer.strip():
            raise DataError(f"{where}: {row.id} has no gold answer, so it cannot be graded; choose another generator")
    return rows


def _solution(item: dict[str, Any], source: SourceConfig, where: str) -> str:
    if source.solution_column is None:
        return ""
    text = item["metadata"].get(source.solution_column)
    if not isinstance(text, str):
        keys = ", ".join(key for key, value in item["metadata"].items() if isinstance(value, str))
        raise DataError(f"{where}: solution_column={source.solution_column!r} is no text in its metadata; the texts there are {keys}")
    return text
