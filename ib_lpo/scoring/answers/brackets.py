"""What stands outside all brackets of a text."""

_OPENING, _CLOSING = "([{", ")]}"
_INSIDE = "\x00"


def balanced(text: str) -> bool:
    """Whether every bracket has one that closes it, of whatever kind, as in `[0,1)`."""
    depth = 0
    for character in text:
        depth += (character in _OPENING) - (character in _CLOSING)
        if depth < 0:
            return False
    return depth == 0


def top_level(text: str) -> str:
    """`text`, as long as it is, with a NUL for every character inside brackets; whole when its brackets do not match."""
    if not balanced(text):
        return text
    kept, depth = [], 0
    for character in text:
        depth -= character in _CLOSING
        kept.append(character if depth == 0 else _INSIDE)
        depth += character in _OPENING
    return "".join(kept)


def cut(text: str, marks: str) -> list[str]:
    """The parts of `text` between the `marks` (single characters) that stand outside all brackets, stripped."""
    parts, begun = [], 0
    for at, character in enumerate(top_level(text)):
        if character in marks:
            parts.append(text[begun:at].strip())
            begun = at + 1
    return [*parts, text[begun:].strip()]
