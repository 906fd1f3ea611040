r"""Where a response states its final answer: its last box that is not blank (boxes.py), else the last `#### value` (hashes.py), outside
its thinking (thinking.py).

One definition for grading and for cutting the answer off before I(r;a) is scored, so that what is graded is what is cut.
Linear in the text. Only the last TAIL_CHARS characters can hold a final answer: an expression further from the end is not final.
"""

from dataclasses import dataclass

from ib_lpo.scoring.boxes import OPENING, boxes, last_answer
from ib_lpo.scoring.hashes import hashes
from ib_lpo.scoring.thinking import without_thinking

TAIL_CHARS = 65_536


@dataclass(frozen=True, slots=True)
class AnswerText:
    """A final answer inside a text."""

    start: int  # character index of the marker (`\boxed` or `####`)
    expression: str  # what stands inside the braces or after the hashes, stripped; of several boxes all, parted by commas


def find_answer(text: str) -> AnswerText | None:
    """The final answer of `text`, or None. An unclosed `\\boxed{` is no answer, nor is what stands in thinking alone; of nested boxes
    the innermost counts."""
    return find_anywhere(without_thinking(text))


def find_anywhere(text: str) -> AnswerText | None:
    """The same for a text whose thinking counts like the rest of it."""
    offset = max(0, len(text) - TAIL_CHARS)
    tail = text[offset:]
    boxed = last_answer(tail, boxes(tail))
    if boxed is not None and not boxed.blank:
        return AnswerText(boxed.start + offset, boxed.content)
    hashed = next(hashes(tail), None)
    if hashed is not None:
        return AnswerText(hashed.start + offset, hashed.value)
    return None if boxed is None else AnswerText(boxed.start + offset, boxed.content)


def answer_offset(text: str) -> int | None:
    """Character index from which `text` states its answer: the graded one or, without any, the one it thinks of, or an unclosed
    `\\boxed`. None: nowhere."""
    found = find_answer(text) or find_anywhere(text)
    if found is not None:
        return found.start
    offset = max(0, len(text) - TAIL_CHARS)
    starts = [match.start() for match in OPENING.finditer(text[offset:])]
    return offset + starts[-1] if starts else None


def first_answer_offset(text: str) -> int | None:
    """Character index from which `text` states any answer for the first time, be it the graded one or not. None: nowhere."""
    complete = {box.start: box for box in boxes(text)}
    opened = (match.start() for match in OPENING.finditer(text) if match.start() not in complete or not complete[match.start()].blank)
    hashed = [found.start for found in hashes(text)]
    return min([*[start for start in (next(opened, None),) if start is not None], *hashed[-1:]], default=None)
