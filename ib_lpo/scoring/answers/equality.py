r"""Whether a found answer equals the wanted one, by the first of a few comparisons that is certain.

Spelling, choice, number, list, unit, equation and words are decided here, in microseconds; algebra goes to math-verify. What cannot be
decided within bounds is a Cause.
"""

import re
from functools import lru_cache

from ib_lpo.scoring.answers import symbolic
from ib_lpo.scoring.answers.bounds import MAX_ANSWER_CHARS, MAX_DEPTH, depth, tractable
from ib_lpo.scoring.answers.choices import found_choice, same_words, wanted_choice
from ib_lpo.scoring.answers.conditions import split_condition
from ib_lpo.scoring.answers.containers import Kind, matches, split_container
from ib_lpo.scoring.answers.equations import RELATION, same_equation, value_of
from ib_lpo.scoring.answers.numbers import begins_like, read_number, same_number
from ib_lpo.scoring.answers.spelling import bare, unfonted
from ib_lpo.scoring.answers.units import same_value, split_unit
from ib_lpo.scoring.grades import Cause

_CLOCK = re.compile(r"([0-9]{1,2}):([0-5][0-9])")
_SYMBOLS = re.compile(r"\\text\{[^{}]*\}|\\[A-Za-z]+|[A-Za-z]")
_FUNCTIONS = "sin|cos|tan|cot|sec|csc|sinh|cosh|tanh|arcsin|arccos|arctan|log|exp|sqrt|min|max|gcd|lcm|floor|ceil|binom|frac"
_PROSE = re.compile(
    rf"(?<![A-Za-z\\{{])(?!(?:{_FUNCTIONS})(?![A-Za-z]))(?:[A-Za-z]{{2,}} [0-9A-Za-z]|[A-Za-z]{{5,}})"
    r"|(?<![A-Za-z\\])[0-9A-Za-z]+ [A-Za-z]{2,}|\\text\{[^{}]*[A-Za-z] [A-Za-z]"
)
_PLACEHOLDERS = {"nan", "none", "null", "n/a"}
_MAX_WORDS = 4


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
    for comparison in (_same_conditioned, _same_container, _same_measured, _same_clock, _same_equation, same_words):
        verdict = comparison(found, wanted)
        if verdict is not None:
            return verdict
    return _same_symbolic(found, wanted)


def judgeable(wanted: str) -> bool:
    """Whether any other spelling can be found equal or unequal to this normalised gold answer."""
    if not wanted or len(wanted) > MAX_ANSWER_CHARS:
        return False
    if wanted_choice(wanted) or read_number(wanted) or _CLOCK.fullmatch(wanted):
        return True
    if same_words(wanted, wanted) and "\\text{" not in wanted[1:]:
        return wanted.casefold() not in _PLACEHOLDERS and unfonted(wanted).count(" ") < _MAX_WORDS
    conditioned = split_condition(wanted)
    if conditioned.conditions:
        return judgeable(conditioned.main)
    container = split_container(wanted)
    if container is not None:
        return all(map(judgeable, container.parts))
    named = value_of(wanted)
    if named is not None:
        return judgeable(named)
    measured = split_unit(wanted)
    if measured.value != wanted:
        return judgeable(measured.value)
    if depth(wanted) > MAX_DEPTH or not tractable(wanted) or _PROSE.search(wanted) or wanted.casefold() in _PLACEHOLDERS:
        return False
    parsed = symbolic.parse(wanted)
    return parsed is not None and symbolic.same(parsed, parsed)


def _same_conditioned(found: str, wanted: str) -> bool | None:
    both = split_condition(found), split_condition(wanted)
    if not any(side.conditions for side in both):
        return None
    if all(side.conditions for side in both) and not _same_conditions(*(side.conditions for side in both)):
        return False
    return same_answer(both[0].main, both[1].main)


def _same_conditions(found: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    return len(found) == len(wanted) and all(any(same_answer(one, other) for one in found) for other in wanted)


def _same_container(found: str, wanted: str) -> bool | None:
    both = split_container(found), split_container(wanted)
    if None not in both:
        matched = matches(*both)
        return matched is not None and matched(lambda i, j: same_answer(both[0].parts[i], both[1].parts[j]))
    if both == (None, None):
        return None
    (container,), text = filter(None, both), (found if both[0] is None else wanted)
    if value_of(text) is not None:
        return None
    if len(container.parts) != 1:
        if both[0] is container and container.kind is Kind.LIST and len(set(map(bare, container.parts))) == len(container.parts):
            return all(same_answer(part, text) for part in container.parts) or _same_union(container.parts, text) or False
        return False if read_number(text) is not None else _same_union(container.parts, text)
    only = container.parts[0]  # a set of one thing
    return same_answer(only, text) if both[1] is None else same_answer(text, only)


def _same_union(relations: tuple[str, ...], text: str) -> bool | None:
    """`x<1` or `x>3`, which normalisation makes a list, against a union of intervals."""
    if "\\cup" not in text or not all(RELATION.search(relation) for relation in relations) or not all(map(tractable, (*relations, text))):
        return None
    union, sets = symbolic.parse(text), symbolic.described(relations)
    return None if union is None or sets is None else union == sets


def _same_measured(found: str, wanted: str) -> bool | None:
    both = split_unit(found), split_unit(wanted)
    value, wanted_value = both[0].value, both[1].value
    if (value, wanted_value) == (found, wanted):
        return None
    return same_value(*both) and same_answer(value, wanted_value)


def _same_clock(found: str, wanted: str) -> bool | None:
    """Times of day; what has no leading zero in its minutes may be a ratio too."""
    times = [_CLOCK.fullmatch(text) for text in (found, wanted)]
    if None not in times and len({tuple(map(int, time.groups())) for time in times}) == 1:
        return True
    return False if any(time is not None and time[2][0] == "0" for time in times) else None


def _same_equation(found: str, wanted: str) -> bool | None:
    return same_equation(found, wanted, same_answer)


def _same_symbolic(found: str, wanted: str) -> bool:
    for text, too_deep in ((wanted, Cause.BAD_GOLD), (found, Cause.TOO_DEEP)):
        if depth(text) > MAX_DEPTH:
            raise Undecided(too_deep)
        if not tractable(text):
            raise Undecided(Cause.BAD_GOLD if text is wanted else Cause.UNBOUNDED)
    if _differ_by_case(found, wanted):
        return False
    gold = symbolic.parse(wanted)
    if gold is None:
        raise Undecided(Cause.BAD_GOLD)
    parsed = symbolic.parse(found)
    if parsed is None:
        return False
    return (
        _same_beginning(found, wanted)
        or symbolic.same(parsed, gold)
        or ("|" not in found + wanted and symbolic.same_where_positive(parsed, gold))
    )


def _same_beginning(found: str, wanted: str) -> bool:
    r"""Whether one of them, `3.14159\ldots`, begins like the other, `\pi`."""
    for decimal, other in ((found, wanted), (wanted, found)):
        number = read_number(decimal)
        if number is not None and number.cut is not None:
            exact = symbolic.value(symbolic.parse(other))
            return exact is not None and begins_like(number, exact)
    return False


def _differ_by_case(found: str, wanted: str) -> bool:
    """Whether their letters are the same but for case: the radius `R` is not `r`."""
    symbols = [{symbol for symbol in _SYMBOLS.findall(text) if "{" not in symbol} for text in (found, wanted)]
    folded = [{symbol.casefold() for symbol in these} for these in symbols]
    return symbols[0] != symbols[1] and folded[0] == folded[1]
