"""The text of single tokens: what each adds to the decoded response, so that joining the pieces gives the response.

A character of several byte tokens stands with the token that completes it; the tokens before it have the empty text.
"""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from ib_lpo.policy.load import text_decoder

_HALF = "\N{REPLACEMENT CHARACTER}"  # what a decoder writes for bytes that are no whole character
_ANCHOR = "a"


class TokenTexts:
    """Token ids to pieces of text, with one tokenizer.

    Most tokens read the same wherever they stand: each is decoded once. Every result is checked against the decoded response, and a
    response that does not fit (a decoder that looks further) is decoded token by token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self._decode = text_decoder(tokenizer)
        self._anchor = tokenizer.encode(_ANCHOR, add_special_tokens=False)
        self._anchored = self._decode(self._anchor)
        self._alone: dict[int, str] = {}
        self.special_ids = frozenset(tokenizer.all_special_ids)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """One text per token; their join equals the decoded `ids`."""
        if not len(ids):
            return []
        whole = self._decode(list(ids))
        found = self._joined([int(id) for id in ids])
        if found and found[0] == " " + found[0][1:] and "".join(found) == " " + whole:
            found[0] = found[0][1:]  # a decoder that drops the blank before the first word
        return found if "".join(found) == whole else self._one_by_one(ids, whole)

    def _joined(self, ids: list[int]) -> list[str]:
        found: list[str] = []
        open_: list[int] = []  # tokens of a character that is not complete yet
        told = 0  # characters of their text that stand in `found`
        for index, id in enumerate(ids):
            alone = self._of(id)
            if not open_ and _HALF not in alone:
                found.append(alone)
                continue
            open_.append(id)
            text = self._after_anchor(open_)
            final = index + 1 == len(ids) or _HALF not in self._of(ids[index + 1])
            complete = final or not text.endswith(_HALF)
            found.append(text[told:] if complete else "")
            open_, told = ([], 0) if complete else (open_, told)
        return found

    def _of(self, id: int) -> str:
        if id not in self._alone:
            self._alone[id] = self._after_anchor([id])
        return self._alone[id]

    def _after_anchor(self, ids: list[int]) -> str:
        """Their text within a response: some decoders drop a blank at its start."""
        return self._decode([*self._anchor, *ids])[len(self._anchored) :]

    def _one_by_one(self, ids: Sequence[int], whole: str) -> list[str]:
        reached = [0]
        for count in range(1, len(ids)):
            text = self._decode(list(ids[:count])).rstrip(_HALF)
            reached.append(max(reached[-1], len(text) if whole.startswith(text) else 0))
        return [whole[start:end] for start, end in zip(reached, [*reached[1:], len(whole)], strict=True)]
