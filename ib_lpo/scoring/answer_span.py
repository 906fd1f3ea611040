r"""Where, in tokens, a response begins to state an answer.

The graded answer is excluded from forking. What is read before the gold answer in I(r;a) ends before the first answer the response states,
or an answer that is stated twice would leak into its own context. The cut is exact in the ids that were sampled: nothing is tokenised
again. A token that holds the first character of the marker (say ` $\` before `boxed`) belongs to the answer.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence

from ib_lpo.scoring.answer_text import answer_offset

Decode = Callable[[Sequence[int]], str]  # token ids to text


def answer_start(token_ids: Sequence[int], decode: Decode, where: Callable[[str], int | None] = answer_offset) -> int | None:
    """Index of the first token of the answer that `where` finds in the text (`\\boxed{...}` or `#### x`), or None without any.

    By default that is the graded one, or an unclosed `\\boxed` when there is none. `decode` must map a prefix of the ids to a prefix
    of the text, up to replacement characters for a half-decoded character at its end (true of byte-level BPE).
    Cost: one decode of the response and, if it has an answer, log2(T) decodes of prefixes of it.
    """
    text = decode(token_ids)
    offset = where(text)
    if offset is None:
        return None
    reached = text[: offset + 1]
    return bisect_left(range(1, len(token_ids) + 1), True, key=lambda length: decode(token_ids[:length]).startswith(reached))
