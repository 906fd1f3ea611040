r"""What an ordinary training step asks of the verifier, drawn at random.

A question has a gold answer as in MATH: 60 % integers, 15 % fractions and decimals, 25 % symbolic (polynomials, factored ones,
radicals, multiples of pi, tuples, intervals, text). Its 8 responses end in `\boxed{...}` after 1,500 characters: 45 % spell the gold
answer as it is, 15 % spell it otherwise, 40 % give one of three wrong answers of the question, as siblings tend to repeat each other.
"""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

RESPONSES, WRONG_ANSWERS = 8, 3
SHARES = {"integer": 0.60, "rational": 0.15, "symbolic": 0.25}
_SPELLING = (0.45, 0.60)  # below the first: as the gold answer; below the second: otherwise; above: wrong
_REASONING = "We know that $x$ is what was asked for, so we go on and find it step by step. "
_WORDS = ("even", "odd", "east", "west", "Evelyn", "Angela", "red", "blue", "parabola", "ellipse", "Monday", "Friday")


class Answer(NamedTuple):
    """A gold answer, another spelling of it, and wrong ones."""

    gold: str
    other: str
    wrong: tuple[str, ...]


def ordinary(random: Random, questions: int, kinds: dict[str, float] = SHARES) -> list[tuple[str, str, bool]]:
    """(response, gold, whether it is right), RESPONSES per question."""
    drawn = [_KINDS[random.choices(list(kinds), list(kinds.values()))[0]](random) for _ in range(questions)]
    return [_response(random, answer) for answer in drawn for _ in range(RESPONSES)]


def distinct(random: Random, count: int) -> list[tuple[str, str, bool]]:
    """Symbolic answers that no cache and no string comparison helps with: every one of another question, half of them right, spelled
    otherwise."""
    made: list[tuple[str, str, bool]] = []
    seen: set[str] = set()
    while len(made) < count:
        answer, right = _symbolic(random), len(made) % 2 == 0
        found = answer.other if right else answer.wrong[0]
        if answer.gold not in seen and found != answer.gold:
            seen.add(answer.gold)
            made.append((_text(found), answer.gold, right))
    return made


def _response(random: Random, answer: Answer) -> tuple[str, str, bool]:
    draw = random.random()
    if draw < _SPELLING[1]:
        return _text(answer.gold if draw < _SPELLING[0] else answer.other), answer.gold, True
    return _text(random.choice(answer.wrong)), answer.gold, False


def _text(answer: str) -> str:
    return f"{_REASONING * 19}The answer is $\\boxed{{{answer}}}$."


def _three(make: Callable[[], str]) -> tuple[str, ...]:
    return tuple(make() for _ in range(WRONG_ANSWERS))


def _integer(random: Random) -> Answer:
    value = random.randint(-50, 2000)
    return Answer(
        str(value),
        random.choice([f"{value:,}", f"{value}.0", f"x={value}", f"{value}\\text{{ cm}}"]),
        _three(lambda: str(value + random.randint(1, 99))),
    )


def _rational(random: Random) -> Answer:
    over, under, times = random.randint(1, 60), random.choice([2, 4, 5, 8, 10, 16, 20]), random.randint(2, 5)
    return Answer(
        f"\\frac{{{over}}}{{{under}}}",
        random.choice([f"{over}/{under}", f"{over / under:g}", f"\\dfrac{{{over * times}}}{{{under * times}}}"]),
        _three(lambda: f"\\frac{{{over + random.randint(1, 9)}}}{{{under}}}"),
    )


def _symbolic(random: Random) -> Answer:
    return random.choice(_SYMBOLIC)(random)


def _polynomial(random: Random) -> Answer:
    a, b, c = (random.randint(2, 99) for _ in range(3))
    return Answer(f"{a}x^2+{b}x+{c}", f"{c}+{b}x+{a}x^{{2}}", _three(lambda: f"{a}x^2+{b}x+{c + random.randint(1, 99)}"))


def _factored(random: Random) -> Answer:
    p, q = random.randint(1, 99), random.randint(1, 99)
    return Answer(f"(x+{p})(x-{q})", f"x^2{p - q:+}x-{p * q}", _three(lambda: f"(x+{p})(x-{q + random.randint(1, 99)})"))


def _radical(random: Random) -> Answer:
    a, b, n = random.randint(2, 60), random.randint(2, 60), random.choice([2, 3, 5, 7, 11, 13])
    return Answer(f"{a}+{b}\\sqrt{{{n}}}", f"\\sqrt{{{b * b * n}}}+{a}", _three(lambda: f"{a}+{b + random.randint(1, 99)}\\sqrt{{{n}}}"))


def _pi(random: Random) -> Answer:
    a, b = random.randint(1, 200), random.randint(2, 60)
    return Answer(
        f"\\frac{{{a}\\pi}}{{{b}}}", f"\\frac{{{a}}}{{{b}}}\\pi", _three(lambda: f"\\frac{{{a + random.randint(1, 99)}\\pi}}{{{b}}}")
    )


def _tuple(random: Random) -> Answer:
    a, b = random.randint(-200, 200), random.randint(-200, 200)
    return Answer(f"({a},{b})", f"\\left({a}, \\frac{{{2 * b}}}{{2}}\\right)", _three(lambda: f"({a},{b + random.randint(1, 99)})"))


def _interval(random: Random) -> Answer:
    a = random.randint(-1000, 1000)
    return Answer(f"(-\\infty,{a}]", f"\\left(-\\infty, {a}\\right]", _three(lambda: random.choice([f"(-\\infty,{a})", f"[{a},\\infty)"])))


def _words(random: Random) -> Answer:
    word, other = random.sample(_WORDS, 2)
    return Answer(f"\\text{{{word}}}", f"\\textbf{{{word.lower()}}}", _three(lambda: f"\\text{{{other}}}"))


_SYMBOLIC = (_polynomial, _factored, _radical, _pi, _tuple, _interval, _words)
_KINDS: dict[str, Callable[[Random], Answer]] = {"integer": _integer, "rational": _rational, "symbolic": _symbolic}
