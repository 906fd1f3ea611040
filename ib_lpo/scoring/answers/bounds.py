r"""What may be handed to sympy: texts on which its LaTeX grammar and its simplification come to an end in good time.

Everything else is undecidable here, never wrong: nested or huge powers, factorials and binomials of large numbers, integrals, limits,
determinants, infinite and long sums, deep nesting, length. Such an answer still equals its own spelling.
"""

import re

MAX_ANSWER_CHARS = 2048
MAX_DEPTH = 8  # nested brackets of what the grammar parses; its time grows exponentially in them
_MAX_CHARS = 512  # of what the grammar parses
_UNENDING = re.compile(
    r"\\(?:o|i{1,3})?int(?![A-Za-z])|\\(?:lim|det|Gamma)(?![A-Za-z])"
    r"|[0-9]{5,}\)*!|[0-9]\}?\)!|![\]) ]*!|(?:\\binom|\\choose|\\[dt]binom|[CP]\()\D{0,3}(?:[0-9]{5,}|[0-9]*\^)"
    r"|\\(?:sum|prod)(?![A-Za-z]).*(?:\\(?:sum|prod|infty)(?![A-Za-z])|[0-9]{5,})|[0-9]{5,}.*\\(?:sum|prod)(?![A-Za-z])"
    r"|[0-9)}\]] ?\^ ?\{?[^{}A-Za-z\\]*\^|\^ ?\{?[0-9]{2,}\}?\) ?\^ ?\{?[0-9]{2,}"  # powers of powers
    r"|\^ ?[0-9]{5,}|\^ ?\{[^{}]*[0-9]{5,}[^{}]*\}|[0-9][eE][0-9]{4,}"
    r"|[)}] ?\^ ?(?:[0-9]{3,}|\{ ?[0-9]{3,} ?\})"
    r"|(?:-[ ]?){20}|(?:\|[^|]*){9}|(?:![^!]*){9}",
    re.DOTALL,
)
_SMALL_FACTORIAL = re.compile(r"\([0-9]{0,3}[a-zA-Z]?(?:[-+][0-9]{0,3}[a-zA-Z]?)*\)(?=!(?![)\] ]*!))")
_NUMBER = r"(?:\\frac ?(?:\{[0-9]{1,4}\}|[0-9])(?:\{[0-9]{1,4}\}|[0-9])|[0-9]{0,4}\.?[0-9]{1,4}(?:/[0-9]{1,4})?)"
_SMALL_BASE = re.compile(rf"\({_NUMBER}(?:[-+]{_NUMBER})?\)(?= ?\^)|(?<=\^)\{{[0-9]{{1,2}}\^(?:[0-9]|\{{[0-9]{{1,2}}\}})\}}")
_MAX_TOWER = 2  # powers in exponents; 1 where there is no letter to stop their evaluation
_COMMAND = re.compile(r"\\[A-Za-z]+")
_MAX_POWERS = 24


def depth(text: str) -> int:
    """The deepest nesting of brackets of any kind."""
    level = deepest = 0
    for character in text:
        level += (character in "([{") - (character in ")]}")
        deepest = max(deepest, level)
    return deepest


def tractable(text: str) -> bool:
    """Whether sympy may be asked about `text` (normalised)."""
    text = _SMALL_BASE.sub(_plain_power, _SMALL_FACTORIAL.sub("n", text))
    if len(text) > _MAX_CHARS or text.count("^") > _MAX_POWERS or _UNENDING.search(text):
        return False
    lettered = any(character.isalpha() for character in _COMMAND.sub("", text))
    return _tower(text) <= (_MAX_TOWER if lettered else 1)


def _plain_power(match: re.Match[str]) -> str:
    """A number for a numeric base in brackets, and for a power in an exponent that is small enough."""
    if match[0][0] == "(":
        return "2"
    base, exponent = map(int, re.findall("[0-9]+", match[0]))
    return f"{{{base**exponent}}}" if base**exponent < 10_000 else match[0]


def _tower(text: str) -> int:
    """How many powers stand in each other's exponents, at most. An exponent without brackets ends where the next character does not go
    on."""
    highest, chained = 0, 0
    levels: list[int] = []  # for every open bracket, the height of the tower in whose exponent it stands
    height, raised = 0, False
    for character in text:
        if character == "^":
            raised, chained = True, chained + 1
            highest = max(highest, height + chained)
        elif character in "([{":
            levels.append(height)
            height += chained if raised else 0
            raised, chained = False, 0
        elif character in ")]}":
            height = levels.pop() if levels else 0
            raised, chained = False, 0
        elif character != " ":
            chained = chained if raised else 0
            raised = False
    return highest
