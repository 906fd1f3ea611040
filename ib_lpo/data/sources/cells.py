"""Cells of a record: by the name of their column, or by a dotted path into a nested one.

A column whose name holds dots wins over the path that it spells. In a path, numbers count the items of lists, from 0.
"""

from collections.abc import Mapping
from math import isnan
from typing import Any


def lead_of(column: str) -> str:
    """The column that a dotted path starts at."""
    return column.partition(".")[0]


def lookup(record: Mapping[str, Any], column: str) -> Any:
    """The cell, None where it is empty. Raises LookupError that says where a dotted path ends without a cell."""
    lead, _, rest = column.partition(".")
    if column in record or not rest:
        return record.get(column)
    value, passed = record.get(lead), lead
    for part in rest.split("."):
        if value is None:
            return None
        value = _step(value, part, passed)
        passed = f"{passed}.{part}"
    return value


def text_of(value: object, *, several: bool = False) -> str:
    """A cell as text, "" where it is empty or NaN; with `several`, a list (OlympiadBench's final answers) as its items joined by commas.

    Raises ValueError for what is no text: a mapping, a list of other than texts and numbers, or any list without `several`.
    """
    if value is None or (isinstance(value, float) and isnan(value)):
        return ""
    if isinstance(value, Mapping):
        raise ValueError(f"is no text but has {', '.join(map(str, value)) or 'nothing'}; name one of them with a dotted path")
    if not isinstance(value, list | tuple):
        return str(value)
    if not several:
        raise ValueError(f"is a list of {len(value)} items; name one of them with a dotted path that ends in its number")
    items = [text_of(item) for item in value]
    if not all(item.strip() for item in items):
        raise ValueError(f"is a list whose item {next(i for i, item in enumerate(items) if not item.strip())} is empty; fill it in")
    return ", ".join(items)


def _step(value: Any, part: str, passed: str) -> Any:
    if isinstance(value, Mapping):
        if part not in value:
            raise LookupError(f"{passed} has {', '.join(map(str, value)) or 'nothing'}")
        return value[part]
    if isinstance(value, list | tuple):
        if not part.isdecimal():
            raise LookupError(f"{passed} is a list, whose items are numbered from 0")
        if int(part) >= len(value):
            raise LookupError(f"{passed} has {len(value)} items")
        return value[int(part)]
    raise LookupError(f"{passed} is a {type(value).__name__} with nothing inside")
