"""What is left for math-verify: algebra, relations, functions, matrices, unions of intervals, sets that are described.

Its alarm-based timeouts are off: this runs inside a grading process, which is killed when it overruns. Its own dropping of units is off as
well, since it takes factors for units (`a+2c` would be `a+2`).
"""

import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

from latex2sympy2_extended import NormalizationConfig, normalize_latex
from math_verify import verify
from math_verify.parser import parse_latex_cached
from sympy import Basic, Eq, Expr, I, MatrixBase, Pow, Symbol, Union, expand_log, log, simplify
from sympy.core.relational import Relational

from ib_lpo.scoring.answers.exactness import differ_at_a_point, told_apart

Parsed = Basic | MatrixBase
_DIGITS = 40
_DEGREES = re.compile(r"([0-9]+(?:\.[0-9]+)?)\^\\circ")
_ODD_ROOT = re.compile(r"\\sqrt\[([0-9]*[13579])\]\{-([0-9./]+)\}")  # the real one is meant, sympy takes the principal one
_SPELLING = NormalizationConfig(basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none", equations=False)


@lru_cache(maxsize=4096)
def parse(text: str) -> Parsed | None:
    """The sympy object that `text` stands for, or None. Time and memory are unbounded."""
    if not text.isascii():
        return None
    spelled = _ODD_ROOT.sub(r"(-\\sqrt[\1]{\2})", _DEGREES.sub(r"(\1\\pi/180)", text))
    try:
        parsed = parse_latex_cached(normalize_latex(spelled, _SPELLING))
    except MemoryError:
        raise
    except Exception:  # latex2sympy raises whatever its grammar, its visitors or sympy raise for what they cannot read
        return None
    if not isinstance(parsed, Parsed):
        return None
    return parsed.subs(_imaginary(parsed)) if isinstance(parsed, Expr) else parsed


def _imaginary(parsed: Expr) -> dict[Symbol, Expr]:
    """The grammar takes `i` for a letter. Where it is one, the imaginary unit in both answers tells them apart as well."""
    return {symbol: I for symbol in parsed.free_symbols if symbol.name == "i"}


def same(found: Parsed, wanted: Parsed) -> bool:
    """Whether math-verify finds them equal and nothing exact tells them apart, since it compares numbers by a few digits.

    A relation and the set it describes are equal, an equation and its right side are not.
    """
    if {isinstance(found, Eq), isinstance(wanted, Eq)} == {True, False} and any(isinstance(side, Expr) for side in (found, wanted)):
        return False
    if isinstance(found, Expr) and isinstance(wanted, Expr) and differ_at_a_point(found, wanted):
        return False
    return verify([wanted], [found], timeout_seconds=None, allow_set_relation_comp=True) and not told_apart(found, wanted)


def same_where_positive(found: Parsed, wanted: Parsed) -> bool:
    r"""Whether roots, powers and logarithms of letters are equal for positive letters: `\ln\frac pq` and `\ln p-\ln q`."""
    if not (isinstance(found, Expr) and isinstance(wanted, Expr)) or not (_rooted(found) or _rooted(wanted)):
        return False
    if differ_at_a_point(found, wanted):
        return False
    letters = found.free_symbols | wanted.free_symbols
    positive = {letter: Symbol(letter.name, positive=True) for letter in letters if letter.is_real}
    difference = _done(found).subs(positive) - _done(wanted).subs(positive)
    return simplify(expand_log(difference, force=True)).is_zero is True


def value(parsed: Parsed | None) -> Fraction | None:
    """The real number that `parsed` is, to _DIGITS digits; None for anything else."""
    if not isinstance(parsed, Expr) or parsed.free_symbols:
        return None
    number = parsed.evalf(_DIGITS)
    return Fraction(str(number)) if number.is_Float or number.is_Integer else None


def described(relations: Sequence[str]) -> Parsed | None:
    """The set in which one of the relations holds, if they are all relations in the same single letter; else None."""
    parsed = [parse(relation) for relation in relations]
    if (
        not all(isinstance(relation, Relational) for relation in parsed)
        or len(set().union(*(relation.free_symbols for relation in parsed))) != 1
    ):
        return None
    try:
        return Union(*(relation.as_set() for relation in parsed))
    except NotImplementedError:
        return None


def _rooted(parsed: Expr) -> bool:
    """Whether it holds a logarithm, or a power of a letter that is no whole one."""
    powers = (power for power in parsed.atoms(Pow) if power.free_symbols)
    return parsed.has(log) or any(not power.exp.is_integer for power in powers)


def _done(parsed: Parsed) -> Parsed:
    """Evaluated; the grammar leaves everything as it was written."""
    return parsed.doit()
