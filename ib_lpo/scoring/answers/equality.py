r"""Whether a found answer equals the wanted one, by the first of a few comparisons that is certain.

Spelling, choice, number, list, unit, equation and words are decided here, in microseconds; algebra goes to math-verify. What cannot be
decided within bounds is a Cause.
"""

import re
from functools import lru_cache

from ib_lpo.scoring.answers import symbolic
from ib_lpo.scoring.answers.bounds import MAX_ANSWER_CHARS, MAX_DEPTH, depth, tractable
from ib_lpo.scoring.answers.choices import found_choice, same_words, wanted_choice
from ib_lpo.scoring.answers.containers import matches, split_container
from ib_lpo.scoring.answers.numbers import read_number, same_number
from ib_lpo.scoring.answers.spelling import bare
from ib_lpo.scoring.answers.units import same_unit, split_unit
from ib_lpo.scoring.grades import Cause

_EQUATION = re.compile(r"(?P<left>.*)(?<![<>!\\])=(?P<right>[^=]+)", re.DOTALL)
_MEMBER = re.compile(r"(?P<left>[A-Za-z])\\in ?(?P<right>[^A-Za-z].*)", re.DOTALL)
_RELATION = re.compile(r"[<>]|\\(?:le|ge|ne|in|lt|gt)(?![A-Za-z])")
_NAME = re.compile(r"\\?[A-Za-z]+(?:_\{?[0-9A-Za-z]\}?)?(?:\([A-Za-z](?:,[A-Za-z])*\))?|\([A-Za-z](?:,[A-Za-z])*\)")


class Undecided(Exception):
    """The answers cannot be compared within bounds."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause)
        self.cause = cause


@lru_cache(maxsize=16384)  # siblings often give the same answer
def same_answer(found: str, wanted: str) -> bool:
    """Whether two normalised answers are equal. Raises Undecided."""
    if found == wanted or bare(found) == bare(wanted):
        return True
    choice = wanted_choice(wanted)
    if choice is not None and (chosen := found_choice(found)) is not None:
        return chosen.letter == choice.letter
    if choice is not None and choice.rest:
        return same_answer(found, choice.rest)
    numbers = read_number(found), read_number(wanted)
    if None not in numbers:
        return same_number(*numbers)
    for comparison in (_same_container, _same_measured, _same_equation, same_words):
        verdict = comparison(found, wanted)
        if verdict is not None:
            return verdict
    return _same_symbolic(found, wanted)


def judgeable(wanted: str) -> bool:
    """Whether any other spelling can be found equal or unequal to this normalised gold answer."""
    if not wanted or len(wanted) > MAX_ANSWER_CHARS:
        return False
    if wanted_choice(wanted) or read_number(wanted) or same_words(wanted, wanted):
        return True
    container = split_container(wanted)
    if container is not None:
        return all(map(judgeable, container.parts))
    measured = split_unit(wanted)
    if measured.unit is not None:
        return judgeable(measured.value)
    if depth(wanted) > MAX_DEPTH or not tractable(wanted):
        return False
    parsed = symbolic.parse(wanted)
    return parsed is not None and symbolic.same(parsed, parsed)


def _same_container(found: str, wanted: str) -> bool | None:
    both = split_container(found), split_container(wanted)
    if None not in both:
        matched = matches(*both)
        return matched is not None and matched(lambda i, j: same_answer(both[0].parts[i], both[1].parts[j]))
    if both == (None, None):
        return None
    (container,), text = filter(None, both), (found if both[0] is None else wanted)
    if len(container.parts) != 1:
        return False if read_number(text) is not None else _same_union(container.parts, text)
    only = container.parts[0]  # a set of one thing
    return same_answer(only, text) if both[1] is None else same_answer(text, only)


def _same_union(relations: tuple[str, ...], text: str) -> bool | None:
    """`x<1` or `x>3`, which normalisation makes a list, against a union of intervals."""
    if "\\cup" not in text or not all(_RELATION.search(relation) for relation in relations) or not all(map(tractable, (*relations, text))):
        return None
    union, sets = symbolic.parse(text), symbolic.described(relations)
    return None if union is None or sets is None else union == sets


def _same_measured(found: str, wanted: str) -> bool | None:
    (value, unit), (wanted_value, wanted_unit) = split_unit(found), split_unit(wanted)
    if (value, wanted_value) == (found, wanted):
        return None
    return same_unit(unit, wanted_unit) and same_answer(value, wanted_value)


def _same_equation(found: str, wanted: str) -> bool | None:
    """`x=5` answers `5` and is answered by it; `x=5` and `y=5` differ."""
    sides = _sides(found), _sides(wanted)
    if sides == (None, None) or (None in sides and any(_RELATION.search(text) for text in (found, wanted) if _sides(text) is None)):
        return None
    left, right = sides
    if left and right:
        named = all(_NAME.fullmatch(name) for name, _ in sides)
        if not named or (left[0] != right[0] and max(len(left[0]), len(right[0])) > 1):
            return None
        return left[0].lower() == right[0].lower() and same_answer(left[1], right[1])
    if left:
        return same_answer(left[1], wanted)
    return same_answer(found, right[1]) if _NAME.fullmatch(right[0]) else None


def _sides(text: str) -> tuple[str, str] | None:
    """Name and value of an equation, whichever way round; of a chain, what it ends in."""
    match = _EQUATION.fullmatch(text) or _MEMBER.fullmatch(text)
    if match is None or _RELATION.search(match["left"]) or "\\not" in text:
        return None
    left, right = match["left"].strip(), match["right"].strip()
    return (right, left) if _NAME.fullmatch(right) and not _NAME.fullmatch(left) and "=" not in left else (left, right)


def _same_symbolic(found: str, wanted: str) -> bool:
    for text, too_deep in ((wanted, Cause.BAD_GOLD), (found, Cause.TOO_DEEP)):
        if depth(text) > MAX_DEPTH:
            raise Undecided(too_deep)
        if not tractable(text):
            raise Undecided(Cause.BAD_GOLD if text is wanted else Cause.UNBOUNDED)
    gold = symbolic.parse(wanted)
    if gold is None:
        raise Undecided(Cause.BAD_GOLD)
    parsed = symbolic.parse(found)
    return parsed is not None and symbolic.same(parsed, gold)
