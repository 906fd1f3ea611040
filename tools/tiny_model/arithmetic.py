"""Sums and differences worked out in several ways, every one of them correct.

A style turns the signed terms of `12 + 47 - 20` into steps; which style a solution takes is drawn at random, so a model that
has read them hesitates where the styles part. Invariant: the value boxed at the end is the value of the expression.
"""

import random
import re
from collections.abc import Callable, Sequence

Terms = Sequence[int]  # signed: 12 + 47 - 20 is (12, 47, -20)
_TERM = re.compile(r"([+-]?)\s*(\d+)")


def parse(expression: str) -> tuple[int, ...]:
    """Signed terms of `12 + 47 - 20`. Raises ValueError on anything but whole numbers, + and -."""
    if not re.fullmatch(r"\s*-?\s*\d+(\s*[+-]\s*\d+)*\s*", expression):
        raise ValueError(f"{expression!r}: only whole numbers joined by + and - can be worked out here; use the generator chain_sum")
    return tuple(int(sign + digits) for sign, digits in _TERM.findall(expression))


def chain(terms: Terms) -> str:
    """`12 + 47 - 20`."""
    first, *rest = terms
    return str(first) + "".join(f" {'-' if term < 0 else '+'} {abs(term)}" for term in rest)


def equation(terms: Terms) -> str:
    """`12 + 47 = 59. `"""
    return f"{chain(terms)} = {sum(terms)}. "


def in_order(terms: Terms) -> str:
    """`12 + 47 = 59. 59 - 20 = 39. `"""
    total, steps = terms[0], ""
    for term in terms[1:]:
        steps += equation((total, term))
        total += term
    return steps


def in_pairs(terms: Terms) -> str:
    """`3 + 4 = 7. 9 - 2 = 7. 7 + 7 = 14. `: neighbours first, then their totals in order."""
    pairs = [tuple(terms[i : i + 2]) for i in range(0, len(terms), 2)]
    return "".join(equation(pair) for pair in pairs if len(pair) == 2) + in_order([sum(pair) for pair in pairs])


def by_sign(terms: Terms) -> str:
    """`Plus 3 + 4 = 7. 7 + 9 = 16. Minus 2 = 2. 16 - 2 = 14. `: all that is added, all that is taken, the difference."""
    plus, minus = [t for t in terms if t >= 0], [-t for t in terms if t < 0]
    if not plus or not minus:
        return in_order(terms)
    return f"Plus {in_order(plus) or equation(plus)}Minus {in_order(minus) or equation(minus)}{equation((sum(plus), -sum(minus)))}"


def at_once(terms: Terms) -> str:
    """`12 + 47 - 20 = 39. `"""
    return equation(terms)


STYLES: dict[str, Callable[[Terms], str]] = {
    "in_order": in_order,
    "in_pairs": in_pairs,
    "by_sign": by_sign,
    "at_once": at_once,
}


def solution(terms: Terms, rng: random.Random, weights: dict[str, float]) -> str:
    """`Work in order: 12 + 47 = 59. 59 - 20 = 39. \\boxed{39}`, in a style drawn with `weights` (by style name)."""
    style = rng.choices(list(weights), list(weights.values()))[0]
    return f"Work {style.replace('_', ' ')}: {STYLES[style](terms)}\\boxed{{{sum(terms)}}}"
