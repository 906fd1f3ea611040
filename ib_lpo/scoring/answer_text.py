r"""Where a response states its final answer: the last complete `\boxed{...}`, else the last `#### number` line (GSM8K). A box is also
`\fbox{...}`, and `\boxed 5` around a number.

One definition for grading and for cutting the answer off before I(r;a) is scored, so that what is graded is what is cut.
Linear in the text. Only the last TAIL_CHARS characters can hold a final answer: an expression further from the end is not final.
`####` must be followed by a number and the end of its line, or Markdown headings would count as answers.
"""

import re
from dataclasses import dataclass

TAIL_CHARS = 65_536
_BRACES = re.compile(
    r"(?P<boxed>\\(?:boxed|fbox)\s*\{)|(?P<single>\\boxed[ \t]++(?P<number>-?[0-9]++(?:[.,/][0-9]++)*))|\\.|(?P<brace>[{}])", re.DOTALL
)
_NUMBER = r"[-+]?[ \t]?\$?[0-9][0-9,]*+(?:\.[0-9]+)?(?:/[0-9]+)?[ \t]?\\?%?"
_HASHES = re.compile(rf"####[ \t]*({_NUMBER})[ \t]*(?:\.[ \t]*)?(?:<[^<>\n]*+>)*$", re.MULTILINE)  # special tokens may end the line
_OPEN_MARKER = re.compile(r"\\(?:boxed|fbox)\s*\{?")
_STATED = re.compile(rf"\\(?:boxed|fbox)(?!\s*\{{\s*\}})|{_HASHES.pattern}", re.MULTILINE)  # an empty box is the instruction, repeated


@dataclass(frozen=True, slots=True)
class AnswerText:
    """A final answer inside a text."""

    start: int  # character index of the marker (`\boxed` or `####`)
    expression: str  # what stands inside the braces or after the hashes, stripped


def find_answer(text: str) -> AnswerText | None:
    """The final answer of `text`, or None. An unclosed `\\boxed{` is no answer; of nested boxes the innermost counts."""
    offset = max(0, len(text) - TAIL_CHARS)
    tail = text[offset:]
    found = _last_boxed(tail) or _last_hashes(tail)
    return None if found is None else AnswerText(found.start + offset, found.expression)


def answer_offset(text: str) -> int | None:
    """Character index from which `text` states its answer: the graded one or, without any, an unclosed `\\boxed`. None: nowhere."""
    found = find_answer(text)
    if found is not None:
        return found.start
    offset = max(0, len(text) - TAIL_CHARS)
    starts = [match.start() for match in _OPEN_MARKER.finditer(text[offset:])]
    return offset + starts[-1] if starts else None


def first_answer_offset(text: str) -> int | None:
    """Character index from which `text` states any answer for the first time, be it the graded one or not. None: nowhere."""
    found = _STATED.search(text)
    return None if found is None else found.start()


def _last_boxed(text: str) -> AnswerText | None:
    """Matches braces with a stack; escaped braces do not count, stray closing ones are ignored."""
    opened: list[re.Match[str]] = []
    last: AnswerText | None = None
    for match in _BRACES.finditer(text):
        if match["boxed"] or match["brace"] == "{":
            opened.append(match)
        elif match["single"]:
            last = AnswerText(match.start(), match["number"])
        elif match["brace"] and opened:
            start = opened.pop()
            if start["boxed"] and (last is None or start.start() > last.start):
                last = AnswerText(start.start(), text[start.end() : match.start()].strip())
    return last


def _last_hashes(text: str) -> AnswerText | None:
    matches = list(_HASHES.finditer(text))
    return AnswerText(matches[-1].start(), matches[-1][1].strip()) if matches else None
