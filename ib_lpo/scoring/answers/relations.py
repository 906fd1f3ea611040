r"""Chains of relations in ascending order: `5>x\ge2` is `2\le x<5`."""

import re

_OPERATOR = re.compile(r"<|>|\\(?:le|ge)(?![A-Za-z])")
_TURNED = {">": "<", "\\ge": "\\le "}


def ascending(text: str) -> str:
    """`text` (normalised) the other way round if all of its relations, two or more, descend; else as it is."""
    operators = _OPERATOR.findall(text)
    if len(operators) < 2 or not set(operators) <= set(_TURNED) or "," in text:
        return text
    terms = [term.strip() for term in _OPERATOR.split(text)]
    turned = [_TURNED[operator] for operator in reversed(operators)]
    return "".join(term + operator for term, operator in zip(reversed(terms), [*turned, ""], strict=True))
