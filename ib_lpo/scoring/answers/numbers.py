r"""Single numbers, read and compared exactly: integers, ratios, mixed numbers, decimals (repeating ones too), percentages, powers of
ten, digits in other bases, infinity.

A decimal may be rounded: it equals a number that takes more than six decimals to write, if it is within half a millionth of it and four
digits agree too. Everything else is exact, so two numbers that differ are certainly different.
"""

import math
import re
from fractions import Fraction
from typing import NamedTuple

from ib_lpo.scoring.answers.decimals import Cut, cut_of, repeated, repeating

_ROUNDING = Fraction(5, 10**7)  # absolute: half of the sixth decimal
_RELATIVE = Fraction(1, 10**4)
_SPACED = re.compile(r"(?<![0-9.])[0-9]{1,3}(?: [0-9]{3})+(?![0-9])")
_WHOLE = r"(?:[0-9]+|[1-9][0-9]{0,2}(?:,[0-9]{3})+)"
_PART = r"(?:\{([-+]?[0-9]+)\}|([0-9]))"
_FRAC = rf"\\frac ?{_PART}{_PART}"
_FRACTION = rf"(?:{_FRAC}|([0-9]+)/([0-9]+))"
_DECIMAL = rf"(?:{_WHOLE}\.[0-9]*|\.[0-9]+)"
_NUMBER = re.compile(
    rf"(?P<sign>[-+]?)(?:(?P<infinity>\\infty)|(?:(?P<whole>{_WHOLE})(?: | ?(?=\\frac)))?(?P<fraction>{_FRACTION})"
    r"|(?P<start>[0-9]*\.[0-9]*)(?:\\(?:overline|bar|dot)(?:\{(?P<cycle>[0-9]+)\}|(?P<turn>[0-9]))|\((?P<turns>[0-9]+)\))"
    r"|(?P<shown>[0-9]*\.[0-9]+)\\ldots"
    rf"|(?P<digits>(?P<decimal>{_DECIMAL})|{_WHOLE})(?:(?:(?:\\times|\\cdot|\*) ?10\^(?:\{{(?P<power>[-+]?[0-9]{{1,3}})\}}|(?P<tens>[0-9]))"
    r"|[eE](?P<exponent>[-+]?[0-9]{1,3})))?(?:_(?:\{(?P<base>[0-9]{1,2})\}|(?P<digit>[2-9])))?)(?P<percent>\\%)?"
)


class Number(NamedTuple):
    """A value as it was written."""

    value: Fraction | float  # float for the infinities alone
    exact: bool  # False: a decimal, which may be rounded
    percent: bool  # `value` is what stands before the sign
    base: int | None  # as subscript; `value` is then what the digits say in base ten
    cut: Cut | None = None  # of a decimal that goes on: what begins like it


def read_number(text: str) -> Number | None:
    """The number that the whole of `text` (normalised) is, or None."""
    match = _NUMBER.fullmatch(_SPACED.sub(lambda found: found[0].replace(" ", ""), text))
    if match is None or len(text) > 1000 or (match["exponent"] and match["decimal"] is None and not match["exponent"].isdecimal()):
        return None  # 2e-7 may be 2e minus 7, which nobody writes with decimals
    value = math.inf if match["infinity"] else _magnitude(match)
    if value is None:
        return None
    base = match["base"] or match["digit"]
    percent, exact = (
        match["percent"] is not None,
        match["decimal"] is None and (match["shown"] is None or repeated(match["shown"]) is not None),
    )
    cut = cut_of(match["shown"]) if match["shown"] else None
    return Number(-value if match["sign"] == "-" else value, exact, percent, None if base is None else int(base), cut)


def same_number(found: Number, wanted: Number) -> bool:
    """Whether the two are equal. A percent sign or a base that one of them leaves out may be implied by the question."""
    if None not in (found.base, wanted.base) and found.base != wanted.base:
        return False
    if found.percent == wanted.percent:
        return _same(found, wanted)
    bare, percentage = (wanted, found) if found.percent else (found, wanted)
    implied = abs(bare.value) >= 1 and _same(bare, percentage)
    return implied or _same(bare, percentage._replace(value=percentage.value / 100))


def rounds(decimal: Number, value: Fraction) -> bool:
    """Whether a decimal is `value`, rounded."""
    gap = abs(decimal.value - value)
    return gap <= min(_ROUNDING, _RELATIVE * max(abs(decimal.value), abs(value)))


def _same(a: Number, b: Number) -> bool:
    if (a.cut is None) != (b.cut is None) and not (a.exact and b.exact):
        return _begins(*((a, b) if a.cut else (b, a)))
    if a.value == b.value:
        return True
    if (a.exact and b.exact) or math.inf in (abs(a.value), abs(b.value)):
        return False
    shown = [number.value for number in (a, b) if number.exact and (number.value * 10**6).denominator == 1]
    return not shown and rounds(*((a, b.value) if not a.exact else (b, a.value)))


def begins_like(number: Number, value: Fraction) -> bool:
    """Whether `value` begins like a number that goes on."""
    return number.cut is not None and number.value * value > 0 and number.cut.holds(value)


def _begins(decimal: Number, other: Number) -> bool:
    """A decimal that goes on equals no other that ends, unless that may be rounded."""
    if not isinstance(other.value, Fraction):
        return False
    if other.exact:
        return (other.value * 10**6).denominator != 1 and begins_like(decimal, other.value)
    return decimal.exact and _same(decimal._replace(cut=None), other)


def _magnitude(match: re.Match[str]) -> Fraction | None:
    if match["fraction"]:
        return _mixed(match)
    if cycle := match["cycle"] or match["turn"] or match["turns"]:
        return repeating(match["start"], cycle)
    if shown := match["shown"]:
        return repeated(shown) or Fraction(f"0{shown}")
    power = int(match["power"] or match["tens"] or match["exponent"] or 0)
    return Fraction(match["digits"].replace(",", "").rstrip(".")) * Fraction(10) ** power


def _mixed(match: re.Match[str]) -> Fraction | None:
    over, under = (int(part) for part in re.fullmatch(_FRACTION, match["fraction"]).groups() if part is not None)
    if under == 0 or (match["whole"] and (over < 0 or under < 0)):
        return None
    return Fraction(over, under) + (int(match["whole"].replace(",", "")) if match["whole"] else 0)
