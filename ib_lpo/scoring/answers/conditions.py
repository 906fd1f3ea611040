r"""Conditions that an answer names for its letters: `3n+2, n\ge1` is `3n+2` where `n\ge1`.

A condition is a relation (`<`, `\ge`, `\ne`, `\in`) that follows the answer after a comma, `for`, `where`, `if` or in brackets, and has
a letter of it. A side that names none agrees with any; two that are named have to be the same.
"""

import re
from typing import NamedTuple

from ib_lpo.scoring.answers.brackets import cut, top_level
from ib_lpo.scoring.answers.equations import RELATION

_OPENED = r"(?:for|where|with|if|when|provided|such that)"
_SOME = r"(?:(?:all|any|every|each|some|an?) )?"
_KINDS = {"integer": "Z", "positive integer": "N", "natural number": "N", "real": "R", "real number": "R", "rational number": "Q"}
_KIND = rf"(?P<kind>{'|'.join(sorted(_KINDS, key=len, reverse=True))})s?"
_WORDED = [
    re.compile(rf",? ?\\text\{{,? ?(?:{_OPENED} )?{_SOME}{_KIND}\}} ?(?P<letter>[A-Za-z])(?![A-Za-z])"),
    re.compile(
        rf"(?:\\text\{{)?(?<![A-Za-z])(?P<letter>[A-Za-z])(?: |\}}|\\text\{{|\\in ?\\text\{{)(?:(?:is|be) )?{_SOME}{_KIND}(?:\}}|$)"
    ),
    re.compile(rf",? {_OPENED} {_SOME}{_KIND} (?P<letter>[A-Za-z])(?![A-Za-z])"),
]
_JOINT = re.compile(rf",? ?\\text\{{,? ?{_OPENED}(?: all| any| every| each)?\}} ?|,? {_OPENED} (?:(?:all|any|every|each) )?|,")
_BRACKETED = re.compile(r",? ?\((?P<condition>.*)\)", re.DOTALL)
_MOST = 4  # conditions
_LETTER = re.compile(r"\\[A-Za-z]+|[A-Za-z]")


class Conditioned(NamedTuple):
    """An answer and what has to hold of its letters."""

    main: str
    conditions: tuple[str, ...]


def split_condition(text: str) -> Conditioned:
    """Part a normalised answer from its conditions; () without any."""
    for pattern in _WORDED:
        text = pattern.sub(lambda match: f", {match['letter']}\\in\\mathbb{{{_KINDS[match['kind']]}}}", text)
    text = re.sub(r"(\\text\{(?:for|where|with|if|when)\}|,)(?: ?, ?)+", ", ", text)
    outside = top_level(text)
    joints = [joint for joint in _JOINT.finditer(text) if outside[joint.start()] != "\x00"]
    for joint in joints[-_MOST:]:
        if found := _conditioned(text[: joint.start()], text[joint.end() :]):
            return found
    opening = outside.rfind("(")
    bracketed = _BRACKETED.fullmatch(text, opening) if opening > 0 else None
    return (bracketed and _conditioned(text[:opening], bracketed["condition"])) or Conditioned(text, ())


def _conditioned(main: str, rest: str) -> Conditioned | None:
    main, conditions = main.strip(" ,"), tuple(filter(None, cut(rest.strip(), ",")))
    if len(main) < 2 or RELATION.search(top_level(main)) or not conditions:
        return None
    letters = _letters(main)
    if not all(RELATION.search(top_level(condition)) and letters & _letters(condition) for condition in conditions):
        return None
    return Conditioned(main, conditions)


def _letters(text: str) -> set[str]:
    return {
        letter for letter in _LETTER.findall(text) if letter not in ("\\in", "\\le", "\\ge", "\\ne", "\\mathbb", "\\frac", "\\sqrt")
    } - set("ZNRQ")
