r"""Decimals that go on: `0.1666\ldots` repeats the 6, `3.14159\ldots` begins like pi.

Digits that repeat at the end, twice or more, go on repeating. Else, or as well, they are the beginning of whatever starts with them, which
takes four decimals to be an answer.
"""

import re
from fractions import Fraction
from typing import NamedTuple

_CYCLE = re.compile(r"(?P<fixed>[0-9]*?)(?P<cycle>[0-9]+?)(?P=cycle)+")
_FEWEST = 4  # decimals of a beginning
_MOST = 60  # decimals in which a cycle is looked for


class Cut(NamedTuple):
    """All numbers from `value` on and below `value + width`."""

    value: Fraction
    width: Fraction

    def holds(self, number: Fraction) -> bool:
        """Whether `number`, of either sign, begins like this."""
        return self.value <= abs(number) < self.value + self.width


def cut_of(shown: str) -> Cut | None:
    """What begins like the unsigned decimal `shown`; None when it has too few decimals."""
    decimals = shown.partition(".")[2]
    return Cut(Fraction(f"0{shown}"), Fraction(1, 10 ** len(decimals))) if len(decimals) >= _FEWEST else None


def repeated(shown: str) -> Fraction | None:
    """The number whose decimals repeat as the last ones of `shown` do; None where they do not."""
    whole, _, decimals = shown.partition(".")
    match = _CYCLE.fullmatch(decimals) if len(decimals) <= _MOST else None
    return None if match is None else repeating(f"{whole}.{match['fixed']}", match["cycle"])


def repeating(start: str, cycle: str) -> Fraction:
    """The number that begins with `start` (`12.3`, `.`) and goes on with `cycle` for ever."""
    fixed = len(start.partition(".")[2])
    return Fraction(f"0{start}0") + Fraction(int(cycle), (10 ** len(cycle) - 1) * 10**fixed)
