r"""What a response says outside its thinking: `<think>...</think>`, also without its first tag, which a chat template may put into the
prompt, or without its last one, when the response ends while it thinks.
"""

import re

_NAMES = r"think|thinking|thought|reasoning"
_TAG = re.compile(rf"<(?P<closing>/?)(?:{_NAMES})>|<\|(?:begin|(?P<end>end))_of_thought\|>")


def without_thinking(text: str) -> str:
    """`text` with blanks for every character of its thinking, so that all others stay where they are."""
    if "<" not in text:
        return text
    spans, begun = [], None
    for tag in _TAG.finditer(text):
        closes = bool(tag["closing"] or tag["end"])
        if closes and begun is None and not spans:
            spans.append((0, tag.end()))
        elif closes and begun is not None:
            spans.append((begun, tag.end()))
            begun = None
        elif not closes and begun is None:
            begun = tag.start()
    if begun is not None:
        spans.append((begun, len(text)))
    pieces, at = [], 0
    for start, end in spans:
        pieces += [text[at:start], " " * (end - start)]
        at = end
    return "".join(pieces) + text[at:] if spans else text
