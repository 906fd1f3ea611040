r"""The boxes of a text, and which of them make one answer.

A box is `\boxed{...}` or `\fbox{...}`, with its backslash doubled or not, or `\boxed 5` around a number. Boxes between which there is
nothing but a connective (a comma, a semicolon, `and`, `or`, `&`) and a name with its equality sign make one answer together:
`$x=\boxed{4}$ or $x=\boxed{9}$` answers `x=4, x=9`. What goes on otherwise, be it a full stop or a word, starts over.
"""

import re
from dataclasses import dataclass

OPENING = re.compile(r"\\{1,2}(?:boxed|fbox)\s*\{?")
_BRACES = re.compile(
    r"(?P<boxed>\\{1,2}(?:boxed|fbox)\s*\{)|(?P<single>\\{1,2}boxed[ \t]++(?P<number>-?[0-9]++(?:[.,/][0-9]++)*))|\\.|(?P<brace>[{}])",
    re.DOTALL,
)
_LABEL = r"(?:\\?[A-Za-z]+(?:_\{?[0-9A-Za-z]+\}?)?(?:\([A-Za-z]\))?)"
_DELIMITERS = r"(?:[\s$~&]|\\[()\[\],;: ]|\\q?quad(?![A-Za-z]))*+"
_PART = r"(?: ?(?:for|in) part \(?[a-z0-9]\)?)?"  # $\boxed{3}$ for part (a) and $\boxed{4}$
_WORD = rf"(?:\\(?:text|mathrm|textbf)\s*\{{{_PART},?\s*(?:and|or)\s*\}}|{_PART},?\s*(?:and|or)(?![A-Za-z]))"
_BETWEEN = re.compile(rf"{_DELIMITERS}(?:{_WORD}|[,;]{_DELIMITERS}{_WORD}?|\\&){_DELIMITERS}(?P<label>{_LABEL}\s*=)?{_DELIMITERS}")
_BEFORE = re.compile(rf"(?<![A-Za-z0-9_+*/^=-])(?P<label>{_LABEL}\s*=)[\s$~]*$")
_LONGEST_GAP = 80  # characters between two boxes of one answer
_BLANK = re.compile(
    r"(?:[\s.~$?_]|\\[,;:! ]|\\[lc]?dots(?![A-Za-z])|\\q?quad(?![A-Za-z])"
    r"|\\(?:text|mathrm)\s*\{\s*\}|\\[hv]?(?:phantom|space)\s*\{[^{}]*\}|\{\s*\})*+"
)


@dataclass(frozen=True, slots=True)
class Box:
    """One box: characters [start, end) of the text, and what stands in it, stripped."""

    start: int
    end: int
    content: str

    @property
    def blank(self) -> bool:
        """Whether nothing is in it, as when an instruction is repeated: `within \\boxed{}`."""
        return _BLANK.fullmatch(self.content) is not None


def boxes(text: str) -> list[Box]:
    """All complete boxes that hold no other box, in order. Braces are matched with a stack; escaped ones do not count, stray closing
    ones are ignored."""
    opened: list[re.Match[str]] = []
    found: list[Box] = []
    for match in _BRACES.finditer(text):
        if match["boxed"] or match["brace"] == "{":
            opened.append(match)
        elif match["single"]:
            found.append(Box(match.start(), match.end(), match["number"]))
        elif match["brace"] and opened:
            start = opened.pop()
            if start["boxed"] and (not found or start.start() > found[-1].start):
                found.append(Box(start.start(), match.end(), text[start.end() : match.start()].strip()))
    return found


def last_answer(text: str, among: list[Box]) -> Box | None:
    """The last box that is not blank, joined with those before it that belong to the same answer; a blank one where all are blank."""
    stated = [box for box in among if not box.blank]
    if not stated:
        return among[-1] if among else None
    group, labels = [stated[-1]], []
    for box in reversed(stated[:-1]):
        gap = _BETWEEN.fullmatch(text, box.end, group[0].start) if group[0].start - box.end <= _LONGEST_GAP else None
        if gap is None:
            break
        labels.insert(0, gap["label"] or "")
        group.insert(0, box)
    if len(group) == 1:
        return group[0]
    before = _BEFORE.search(text, max(0, group[0].start - _LONGEST_GAP), group[0].start)
    labelled = zip([before["label"] if before else "", *labels], group, strict=True)
    parts = dict.fromkeys(f"{label}{box.content}" for label, box in labelled)
    return Box(group[0].start, group[-1].end, ", ".join(parts))
