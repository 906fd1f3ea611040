r"""Equations as answers: `x=5` answers `5` and is answered by it; `x^2=9` answers neither `9` nor `3`."""

import re
from collections.abc import Callable

from ib_lpo.scoring.answers.numbers import read_number

Same = Callable[[str, str], bool]

RELATION = re.compile(r"[<>]|\\(?:le|ge|ne|in|lt|gt)(?![A-Za-z])")
_EQUATION = re.compile(r"(?P<left>.*)(?<![<>!\\])=(?P<right>[^=]+)", re.DOTALL)
_MEMBER = re.compile(r"(?P<left>[A-Za-z])\\in ?(?P<right>[^A-Za-z].*)", re.DOTALL)
_NAME = re.compile(r"\\?[A-Za-z]+(?:_\{?[0-9A-Za-z]\}?)?(?:\([A-Za-z](?:,[A-Za-z])*\))?|\([A-Za-z](?:,[A-Za-z])*\)")
_SYMBOL = (
    r"(?:\\(?:angle|triangle|overline|overrightarrow|vec|bar|hat|operatorname|Delta|mathbf|mathrm) ?)?"
    r"(?:\\[A-Za-z]+(?![A-Za-z{])|[A-Za-z]+|\\?\|[A-Zzw]+\\?\||\{[A-Za-z]+\}|\\text\{[^{}]*\}(?: ?[A-Za-z]+)?)"
    r"(?:_(?:[0-9A-Za-z]|\{[0-9A-Za-z,]+\})|\^\{-1\}|')*"
)
# |AB| is a length and |z| a modulus, each with one value; |x|=5 has two solutions
_TERM = rf"(?:{_SYMBOL}|\\(?:sin|cos|tan|cot|sec|csc|log|ln) ?{_SYMBOL})(?:\([^()=]*\))?"
_NAMED = re.compile(rf"{_TERM}(?:[+-]{_TERM})*|\([A-Za-z](?:,[A-Za-z])*\)|\\frac\{{d[a-z]?\}}\{{d[a-z]\}}")
_ARITHMETIC = re.compile(
    r"(?:[0-9.,+*/!^_%:|(){}\[\] -]|\\(?:times|cdot|div|frac|sqrt|binom|log|ln|sin|cos|tan|pi|circ|left|right|%)(?![A-Za-z]))+"
)


def same_equation(found: str, wanted: str, same: Same) -> bool | None:
    """Whether two normalised answers, one of them an equation, say the same; None where that is for others to tell.

    `same` compares what stands on the right. `x=5` and `y=5` differ.
    """
    sides = _sides(found), _sides(wanted)
    if sides == (None, None) or (None in sides and any(RELATION.search(text) for text in (found, wanted) if _sides(text) is None)):
        return None
    left, right = sides
    if left and right:
        named = all(_NAME.fullmatch(name) for name, _ in sides)
        if not named or (left[0] != right[0] and max(len(left[0]), len(right[0])) > 1):
            return None
        return left[0].lower() == right[0].lower() and same(left[1], right[1])
    if left:
        return same(left[1], wanted) if _droppable(*left, same) else None
    return same(found, right[1]) if _droppable(*right, same) else None


def _droppable(left: str, right: str, same: Same) -> bool:
    """Whether `left` only says what `right` is: names, their sum, functions of names, arithmetic; not `x^2` or `x+1`."""
    if "=" in left:
        first, _, rest = left.partition("=")
        named = _NAMED.fullmatch(first.strip()) is not None
        return named or (_droppable(first.strip(), rest, same) and _droppable(rest.strip(), right, same))
    if read_number(left) is not None:
        return same(left, right)
    return _NAMED.fullmatch(left) is not None or _ARITHMETIC.fullmatch(left) is not None


def _sides(text: str) -> tuple[str, str] | None:
    """Name and value of an equation, whichever way round; of a chain, what it ends in."""
    match = _EQUATION.fullmatch(text) or _MEMBER.fullmatch(text)
    if match is None or RELATION.search(match["left"]) or "\\not" in text:
        return None
    left, right = match["left"].strip(), match["right"].strip()
    return (right, left) if _NAME.fullmatch(right) and not _NAME.fullmatch(left) and "=" not in left else (left, right)
