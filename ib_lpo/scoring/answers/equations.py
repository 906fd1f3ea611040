r"""Equations as answers: `x=5` answers `5` and is answered by it; `x^2=9` answers neither `9` nor `3`.

What may stand on the left and be left out is a name (names.py), a tuple of names, or arithmetic. `\approx` counts as an equality sign.
"""

import re
from collections.abc import Callable
from itertools import pairwise

from ib_lpo.scoring.answers.brackets import top_level
from ib_lpo.scoring.answers.names import is_name
from ib_lpo.scoring.answers.numbers import read_number

Same = Callable[[str, str], bool]

RELATION = re.compile(r"[<>]|\\(?:le|ge|ne|in|lt|gt)(?![A-Za-z])")
_MEMBER = re.compile(r"(?P<left>[A-Za-z])\\in ?(?P<right>[^A-Za-z].*)", re.DOTALL)
_SIMPLE = re.compile(r"\\?[A-Za-z]+(?:_\{?[0-9A-Za-z]\}?)?(?:\([A-Za-z](?:,[A-Za-z])*\))?|\([A-Za-z](?:,[A-Za-z])*\)")
_TUPLE = re.compile(r"\([A-Za-z](?:_\{?[0-9A-Za-z]\}?)?(?:,[A-Za-z](?:_\{?[0-9A-Za-z]\}?)?)*\)")
_EQUALS = re.compile(r"(?<![<>!\\])=|\\approx(?![A-Za-z])")
_ARITHMETIC = re.compile(
    r"(?:[0-9.,+*/!^_%:|(){}\[\] -]|\\(?:times|cdot|div|frac|sqrt|binom|log|ln|sin|cos|tan|pi|circ|left|right|%)(?![A-Za-z]))+"
)


def same_equation(found: str, wanted: str, same: Same) -> bool | None:
    """Whether two normalised answers, one of them an equation, say the same; None where that is for others to tell.

    `same` compares what stands on the right. `x=5` and `y=5` differ.
    """
    sides = _sides(found), _sides(wanted)
    if sides == (None, None) or (
        None in sides and any(RELATION.search(top_level(text)) for text in (found, wanted) if _sides(text) is None)
    ):
        return None
    left, right = sides
    if left and right:
        names = [_parted(side)[0].replace(" ", "") for side, _ in sides]
        if names[0] == names[1] and _droppable(*left, same) and _droppable(*right, same):
            return same(left[1], right[1])
        simple = all(_SIMPLE.fullmatch(name) for name, _ in sides)
        if not simple or max(len(left[0]), len(right[0])) > 1:
            return False if all(is_name(name) for name, _ in sides) and sorted(left[0]) != sorted(right[0]) else None
        return left[0].lower() == right[0].lower() and same(left[1], right[1])
    if left:
        return same(left[1], wanted) if _droppable(*left, same) else None
    return same(found, right[1]) if _droppable(*right, same) else None


def value_of(text: str) -> str | None:
    """The right side of an equation whose left side only names it; None for anything else."""
    sides = _sides(text)
    return sides[1] if sides and _names(sides[0]) else None


def _names(left: str) -> bool:
    return is_name(left) or _TUPLE.fullmatch(left) is not None


def _droppable(left: str, right: str, same: Same) -> bool:
    """Whether `left` only says what `right` is: a name, or arithmetic; not `x^2` or `x+1`."""
    parts = _parted(left)
    if len(parts) > 1:
        return _names(parts[0].strip()) or all(_droppable(one.strip(), other.strip(), same) for one, other in pairwise([*parts, right]))
    if read_number(left) is not None:
        return same(left, right)
    return _names(left) or _ARITHMETIC.fullmatch(left) is not None


def _sides(text: str) -> tuple[str, str] | None:
    """Name and value of an equation, whichever way round; of a chain, what it ends in. Equality signs in brackets make none."""
    parts = _parted(text)
    match = _MEMBER.fullmatch(text) if len(parts) == 1 else None
    if match is not None:
        return match["left"], match["right"].strip()
    if len(parts) == 1 or "\\not" in text or not parts[-1].strip():
        return None
    left, right = text[: len(text) - len(parts[-1])].removesuffix("\\approx").removesuffix("=").strip(), parts[-1].strip()
    if RELATION.search(top_level(left)):
        return None
    turned = _SIMPLE.fullmatch(right) and not _SIMPLE.fullmatch(left) and len(parts) == 2
    return (right, left) if turned else (left, right)


def _parted(text: str) -> list[str]:
    """What stands between the equality signs outside brackets."""
    parts, begun = [], 0
    for sign in _EQUALS.finditer(top_level(text)):
        parts.append(text[begun : sign.start()])
        begun = sign.end()
    return [*parts, text[begun:]]
