r"""What parts the answers of a list: `or`, `and`, `\lor`, `&`, under one spelling, a comma and a space.

A word between two answers needs no space beside it where a digit or a bracket stands before it: `x=-4orx=4`.
"""

import re

_ANSWER = r"[-+(\[\\0-9{]|[A-Za-z](?:_\{?\w\}?)?(?:\([A-Za-z]\))? ?="
_PARTED = re.compile(
    r"[,;]?(?: ?\\text\{ ?,? ?(?:and|or) ?\} ?|(?<![A-Za-z]{2}) (?:and|or) (?![A-Za-z]{2}(?![A-Za-z]*[ =(]))"
    rf"| ?\\(?:lor|land|vee|wedge)(?![A-Za-z]) ?| ?(?:\\&|(?<!\\)&) ?|(?<=[0-9)\]}}]) ?(?:and|or) ?(?={_ANSWER})"
    rf"|(?<=,) ?(?:and|or) ?(?={_ANSWER}))"
)


def listed(text: str) -> str:
    """`text` with commas for what parts its answers. Ampersands of a matrix stay."""
    if "\\begin" in text:
        return text
    return _PARTED.sub(", ", text).replace(",,", ",")
