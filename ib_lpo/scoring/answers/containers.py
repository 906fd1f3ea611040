r"""Tuples, intervals, sets, lists and column vectors: several answers in one, compared element by element.

Brackets have to be of the same kind, as `(0,1)`, `[0,1)` and `\{0,1\}` are different things. A list without brackets may stand for a
set, or for a tuple in the same order, and a tuple for a column.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from ib_lpo.scoring.answers.brackets import balanced, cut, top_level
from ib_lpo.scoring.answers.numbers import read_number
from ib_lpo.scoring.answers.units import split_unit


class Kind(StrEnum):
    """By the brackets; a pair in square or mixed brackets is an interval."""

    LIST = "list"
    SET = "set"
    TUPLE = "()"
    COLUMN = "column"
    CLOSED = "[]"
    LEFT_OPEN = "(]"
    RIGHT_OPEN = "[)"


class Container(NamedTuple):
    """What stands between the brackets."""

    kind: Kind
    parts: tuple[str, ...]


_COLUMN = re.compile(r"\\begin\{([pb]?matrix)\}([^&]*?)(?:\\\\)?\\end\{\1\}")
_ANGLES = re.compile(r"\\langle(.*)\\rangle", re.DOTALL)
_PLUS_MINUS = re.compile(r"\\pm(?![A-Za-z]) ?")
_BRACKETS = re.compile(r"\\?[(\[{]\x00*[)\]}]")


def split_container(text: str) -> Container | None:
    """The container that the whole of `text` (normalised) is, or None. Brackets around a single thing make none, braces `\\{...\\}` do."""
    if read_number(split_unit(text).value) is not None:  # its commas part thousands
        return None
    if match := _COLUMN.fullmatch(text):
        cells = tuple(cell.strip() for cell in match[2].split("\\\\"))
        return Container(Kind.COLUMN, cells) if len(cells) > 1 and all(cells) else None
    text = _ANGLES.sub(r"(\1)", text)
    if not balanced(text):
        return None
    outside = top_level(text)
    if "," in outside or ";" in outside:
        return _list(text, by=";" if ";" in outside else ",")
    found = _bracketed(text) if _BRACKETS.fullmatch(outside) else None
    signed = _both_signs(text)
    return Container(Kind.LIST, signed) if found is None and len(signed) > 1 else found


def _list(text: str, by: str) -> Container | None:
    """What commas part; or, where semicolons do, what they part, each with commas being a tuple."""
    parts = cut(text, by)
    if by == ";":
        parts = [f"({part})" if "," in top_level(part) and read_number(part) is None else part for part in parts]
    parts = tuple(signed for part in parts for signed in _both_signs(part))
    return Container(Kind.LIST, parts) if all(parts) else None


def _bracketed(text: str) -> Container | None:
    if text.startswith("\\{") and text.endswith("\\}"):
        inner = text[2:-2]
        return _parted(Kind.SET, inner) if inner else Container(Kind.SET, ())
    if len(text) < 3 or text[0] + text[-1] not in (Kind.TUPLE, Kind.CLOSED, Kind.LEFT_OPEN, Kind.RIGHT_OPEN):
        return None
    inner = text[1:-1]
    found = _parted(Kind(text[0] + text[-1]), inner)
    if found is None or len(found.parts) == 1:
        return None
    vector = found.kind is Kind.CLOSED and len(found.parts) > 2
    return Container(Kind.TUPLE, found.parts) if vector else found


def _parted(kind: Kind, text: str) -> Container | None:
    parts = tuple(cut(text, ",;"))
    if kind is Kind.SET:
        parts = tuple(signed for part in parts for signed in _both_signs(part))
    return Container(kind, parts) if all(parts) else None


def _both_signs(text: str) -> tuple[str, ...]:
    """The two values of what holds one plus-minus sign."""
    if len(_PLUS_MINUS.findall(text)) != 1 or "\\mp" in text:
        return (text,)
    return tuple(_PLUS_MINUS.sub(sign, text).removeprefix("+") for sign in "+-")


def matches(found: Container, wanted: Container) -> Callable[[Callable[[int, int], bool]], bool] | None:
    """How the elements of the two are to be matched: a function of `same(i, j)`; None when the kinds already differ.

    Sets ignore order and repetition, lists ignore order, everything else is compared in order.
    """
    kinds = {found.kind, wanted.kind}
    sizes = len(found.parts), len(wanted.parts)
    if kinds == {Kind.SET} or kinds == {Kind.SET, Kind.LIST}:
        return lambda same: _covers(same, *sizes)
    if kinds == {Kind.LIST}:
        return lambda same: sizes[0] == sizes[1] and _permutes(same, sizes[0])
    if len(kinds) == 1 or kinds in ({Kind.LIST, Kind.TUPLE}, {Kind.COLUMN, Kind.TUPLE}):
        return lambda same: sizes[0] == sizes[1] and all(same(i, i) for i in range(sizes[0]))
    return None


def _covers(same: Callable[[int, int], bool], founds: int, wanteds: int) -> bool:
    if not (founds and wanteds):
        return founds == wanteds
    return all(any(same(i, j) for j in range(wanteds)) for i in range(founds)) and all(
        any(same(i, j) for i in range(founds)) for j in range(wanteds)
    )


def _permutes(same: Callable[[int, int], bool], size: int) -> bool:
    """Greedy, which is enough as equality is an equivalence."""
    free = list(range(size))
    for i in range(size):
        partner = next((j for j in free if same(i, j)), None)
        if partner is None:
            return False
        free.remove(partner)
    return True
