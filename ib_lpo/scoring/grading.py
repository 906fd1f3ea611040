"""One item, graded: response text against gold answer. Runs inside a grading process, which is killed when it overruns.

The answer is compared by string equality after normalisation, then as exact numbers, then by math-verify (sympy), whose own
alarm-based timeouts are off. What cannot be decided is UNVERIFIABLE with a cause, never WRONG: an answer too long or too deeply
nested to be parsed within bounds, or a gold answer that does not parse.
"""

import re
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

from math_verify import LatexExtractionConfig, parse, verify

from ib_lpo.scoring.answer_text import find_answer
from ib_lpo.tree import Verdict

MAX_ANSWER_CHARS = 2048
MAX_DEPTH = 64  # nested brackets of an answer; the parser recurses


class Cause(StrEnum):
    """Why an item is UNVERIFIABLE."""

    TOO_LONG = "too_long"  # answer expression above MAX_ANSWER_CHARS
    TOO_DEEP = "too_deep"  # answer expression nested above MAX_DEPTH
    BAD_GOLD = "bad_gold"  # gold answer empty, too long, or without a parse
    MEMORY = "memory"  # the comparison came near the memory bound
    OVERRUN = "overrun"  # the deadline passed
    CRASH = "crash"  # the grading process died


class Grade(NamedTuple):
    """What was found; `cause` is set for UNVERIFIABLE alone."""

    verdict: Verdict
    cause: Cause | None = None


CORRECT, WRONG, NO_ANSWER = Grade(Verdict.CORRECT), Grade(Verdict.WRONG), Grade(Verdict.NO_ANSWER)
_EXTRACTION = [LatexExtractionConfig()]
_SIZED = re.compile(r"\\(?:left|right)(?![A-Za-z])|\\!")
_THIN = re.compile(r"\\[,;: ]|~|\s+")
_FREE_SPACE = re.compile(r"(?<![0-9A-Za-z]) | (?![0-9A-Za-z])")
_INTEGER = r"[-+]?(?:[0-9]+|[1-9][0-9]{0,2}(?:,[0-9]{3})+)"
_RATIO = re.compile(rf"(?P<sign>-?)\\frac\{{(?P<over>{_INTEGER})\}}\{{(?P<under>[0-9]+)\}}|(?P<p>{_INTEGER})(?:/(?P<q>[0-9]+))?")
_DECIMAL = re.compile(rf"{_INTEGER}\.[0-9]+")


def grade(response: str, gold: str) -> Grade:
    """The verdict on the final answer of `response`. Time and memory are unbounded: call it in a grading process."""
    answer = find_answer(response)
    if answer is None or not normalise(answer.expression):
        return NO_ANSWER
    if len(answer.expression) > MAX_ANSWER_CHARS:
        return Grade(Verdict.UNVERIFIABLE, Cause.TOO_LONG)
    wanted = _gold_expression(gold)
    if not wanted or len(wanted) > MAX_ANSWER_CHARS:
        return Grade(Verdict.UNVERIFIABLE, Cause.BAD_GOLD)
    return _compare(normalise(answer.expression), wanted)


def gold_is_verifiable(gold: str) -> bool:
    """Whether `gold` parses to an expression that equals itself, so that a response can be right or wrong about it."""
    wanted = _gold_expression(gold)
    if not wanted or len(wanted) > MAX_ANSWER_CHARS or _depth(wanted) > MAX_DEPTH:
        return False
    parsed = _parse(wanted)
    return _has_expression(parsed) and verify(parsed, _parse(wanted), timeout_seconds=None)


def normalise(expression: str) -> str:
    """A spelling without what never changes a meaning: outer dollars, a final full stop, bracket sizes, spaces beside symbols.

    A space between two letters or digits stays: `1 1/2` is not `11/2`.
    """
    text = _SIZED.sub("", expression).replace("\u2212", "-").replace("**", "^")
    for command in ("\\dfrac", "\\tfrac"):
        text = text.replace(command, "\\frac")
    text = _THIN.sub(" ", text).strip().rstrip(".").strip()
    for left, right in (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")):
        inner = text[len(left) : -len(right)]
        if text == left + inner + right and left not in inner:
            text = inner
    return _FREE_SPACE.sub("", text.strip().rstrip("."))


def _gold_expression(gold: str) -> str:
    stated = find_answer(gold)
    return normalise(gold if stated is None else stated.expression)


@lru_cache(maxsize=16384)  # siblings often give the same answer
def _compare(found: str, wanted: str) -> Grade:
    if found == wanted:
        return CORRECT
    numbers = _number(found), _number(wanted)
    if None not in numbers:
        (a, a_exact), (b, b_exact) = numbers
        if a == b:
            return CORRECT
        if a_exact and b_exact:
            return WRONG
    if _depth(found) > MAX_DEPTH:
        return Grade(Verdict.UNVERIFIABLE, Cause.TOO_DEEP)
    gold = _parse(wanted) if _depth(wanted) <= MAX_DEPTH else []
    if not _has_expression(gold):
        return Grade(Verdict.UNVERIFIABLE, Cause.BAD_GOLD)
    return CORRECT if verify(gold, _parse(found), timeout_seconds=None) else WRONG


def _number(text: str) -> tuple[Fraction, bool] | None:
    """The value of an integer, a ratio of integers or a decimal, and whether it is exact (a decimal may be rounded)."""
    if match := _RATIO.fullmatch(text):
        over, under = match["over"] or match["p"], match["under"] or match["q"] or "1"
        value = None if not int(under) else Fraction(int(over.replace(",", "")), int(under))
        return None if value is None else (-value if match["sign"] else value, True)
    return (Fraction(text.replace(",", "")), False) if _DECIMAL.fullmatch(text) else None


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        if character in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")]}":
            depth -= 1
    return deepest


@lru_cache(maxsize=4096)
def _parse(expression: str) -> list[Any]:
    """What math-verify makes of it: [expression, text], or [text] when it does not parse."""
    return parse(f"\\boxed{{{expression}}}", _EXTRACTION, parsing_timeout=None)


def _has_expression(parsed: list[Any]) -> bool:
    return any(not isinstance(value, str) for value in parsed)
