"""Numbers that are nearly equal: what math-verify, which compares by a few digits, takes for the same and is not.

Exact numbers are told apart by any difference that _DIGITS digits show; a decimal may be rounded as in numbers.py.
"""

from sympy import Basic, Derivative, Expr, Float, Integral, Limit, MatrixBase, Product, S, Sum
from sympy.core.relational import Relational

_DIGITS = 1000  # beyond those that cancel
_POINT = (5, 7, 11, 13, 17, 19, 23, 29)  # values of the letters in alphabetical order; whole, as letters may have to be
_FAR = Float("1e-3")
_ROUNDING = Float("5e-7")
_RELATIVE = Float("1e-4")


def told_apart(found: Basic | MatrixBase, wanted: Basic | MatrixBase) -> bool:
    """Whether two objects that look equal hold numbers, at the same place, that are certainly different."""
    if isinstance(found, MatrixBase) and isinstance(wanted, MatrixBase):
        return found.shape == wanted.shape and any(map(told_apart, found, wanted))
    if isinstance(found, Expr) and isinstance(wanted, Expr):
        return _differ(found, wanted)
    if isinstance(found, Relational) and isinstance(wanted, Relational):
        return found.lhs == wanted.lhs and told_apart(found.rhs, wanted.rhs)
    if type(found) is type(wanted) and len(found.args) == len(wanted.args):
        return any(map(told_apart, found.args, wanted.args))
    return False


def _differ(found: Expr, wanted: Expr) -> bool:
    if found.free_symbols or wanted.free_symbols:
        return False
    values = found.doit(), wanted.doit()
    if S.NaN in values or any(value.is_infinite for value in values):
        return False
    difference = values[0] - values[1]
    if difference.is_zero:
        return False
    shown = difference.evalf(5, maxn=_DIGITS)
    if not shown.is_number or any(part._prec == 1 for part in shown.atoms(Float)):  # all digits cancel
        return False
    if not any(value.has(Float) for value in values):
        return bool(shown != 0)
    largest = max(abs(value.evalf(5)) for value in values)
    return bool(abs(shown) > _ROUNDING or abs(shown) > _RELATIVE * largest)


def differ_at_a_point(found: Expr, wanted: Expr) -> bool:
    """Whether two expressions of letters have clearly different real values at one point.

    Much faster than simplifying their difference, which only equal ones, and those without a real value there, have to go through.
    """
    letters = sorted(found.free_symbols | wanted.free_symbols, key=lambda letter: letter.name)
    if not 0 < len(letters) <= len(_POINT) or any(side.has(Sum, Product, Integral, Derivative, Limit) for side in (found, wanted)):
        return False
    point = {letter: Float(value, 30) for letter, value in zip(letters, _POINT, strict=False)}
    try:
        values = [side.subs(point).evalf(15) for side in (found, wanted)]
    except (ArithmeticError, TypeError, ValueError, NotImplementedError):
        return False
    if not all(value.is_Float and value.is_finite for value in values):
        return False
    return bool(abs(values[0] - values[1]) > _FAR * max(map(abs, values)))
