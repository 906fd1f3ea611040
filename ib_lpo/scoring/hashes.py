r"""`#### answer` (GSM8K): a line that ends in four hashes and a value, or Markdown headings would count as answers.

A value is a number, a formula between dollars, or `name = value`, plain, bold, with a currency, and with a unit of up to two words in
lower case (`24 pages`, `60 miles per hour`); `Answer:` may stand before it. `#### 2. Find x` and `#### 3 Methods` are headings.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LONGEST = 200  # characters of such a line
_TAIL = re.compile(r"(?:<[^<>\n]*>|\s)*$")  # special tokens may end the line
_CURRENCY = r"(?:\\?\$|[\u20ac\u00a3\u00a5\u20b9])"
_NUMBER = (
    rf"[-+\u2212]?[ \t]?{_CURRENCY}?-?(?:[0-9][0-9,]*+(?:\.[0-9]+)?|\.[0-9]+)"
    rf"(?:[ ]?/[ ]?[0-9]+|[ ][0-9]+/[0-9]+|:[0-9]+)?[ \t]?(?:\\?%|{_CURRENCY})?"
)
_FORMULA = r"\$[^$\n]+\$|\\\([^\n]+?\\\)|-?\\[dt]?frac\{[^{}]+\}\{[^{}]+\}"
_UNIT = r"[a-z\u00b0\u00b5][a-z'\-]*(?:/[a-z]+)?(?:\^?[23\u00b2\u00b3])?"
_LINE = re.compile(
    rf"(?:\*{{1,2}}|`)?(?:(?:(?:the )?(?:final )?answer)(?: is)?:? ?)?(?:\*\*)?[ \t]*(?P<value>(?:[A-Za-z] ?= ?)?(?:{_FORMULA}|{_NUMBER})"
    rf"(?:\*{{1,2}}|`)?(?:[ \t]?\(?{_UNIT}\)?(?: {_UNIT})?(?: per {_UNIT})?)?)[ \t]*\.?(?:\*{{1,2}}|`)?\.?",
    re.IGNORECASE,
)
_CAPITAL_WORD = re.compile(r"(?<![A-Za-z\\$])[A-Z][a-z]+")


@dataclass(frozen=True, slots=True)
class Hashes:
    """Characters from `start` (the hashes) on state `value`."""

    start: int
    value: str


def hashes(text: str) -> Iterator[Hashes]:
    """The values that stand after `####`, the last first."""
    at = text.rfind("####")
    while at >= 0:
        value = _value(text, at + 4)
        if value is not None:
            yield Hashes(at, value)
        at = text.rfind("####", 0, at)


def _value(text: str, at: int) -> str | None:
    end = text.find("\n", at, at + _LONGEST)
    line = text[at : len(text) if end < 0 else end]
    if len(line) > _LONGEST:
        return None
    found = _LINE.fullmatch(_TAIL.sub("", line).strip())
    if found is None or _CAPITAL_WORD.search(found["value"]):
        return None
    return re.sub(r"[*`]", "", found["value"]).strip()
