r"""Multiple choice and words: answers that are names and not values."""

import re
from typing import NamedTuple

from ib_lpo.scoring.answers.spelling import unfonted

_WANTED = re.compile(r"\(?(?P<letter>[A-J])(?:\)|(?<=[A-J])\.(?=.)|(?<=[A-J])$)(?P<rest>.*)", re.DOTALL)
_FOUND = re.compile(r"\(?(?P<letter>[A-Ja-j])(?:[):]|(?<=[A-Ja-j])\.(?=.)|(?<=[A-Ja-j])$)(?P<rest>.*)", re.DOTALL)
_CALLED = re.compile(r"(?:option|choice) ?(?=\(?[A-J](?![A-Za-z]))", re.IGNORECASE)
_CONTENT = re.compile(r"(?! ?[^0-9A-Za-z\\$(\[. -])(?:(?!(?<![A-Za-z])[A-J](?![A-Za-z])).)*", re.DOTALL)
_WORDS = re.compile(r"[^\W\d_]{2,}(?:[ '\-][^\W\d_]+)*")
_PLURAL = re.compile(r"(?<=\w{3})s\b")
_FACTORS = 3  # lower-case letters that may still be a product: abc
_SHORT_WORDS = {"no", "yes", "odd"}  # and not products


class Choice(NamedTuple):
    """A letter, and what the answer says beyond it."""

    letter: str
    rest: str


def wanted_choice(text: str) -> Choice | None:
    """The choice that a normalised gold answer is: `B`, `(B)`, `(B) 42` or `B. 42`."""
    return _choice(_WANTED.fullmatch(_CALLED.sub("", unfonted(text))))


def found_choice(text: str) -> Choice | None:
    """The choice that a normalised answer to such a question is: also `b`, `B) 42` and `B: 42`."""
    return _choice(_FOUND.fullmatch(_CALLED.sub("", unfonted(text))))


def same_words(found: str, wanted: str) -> bool | None:
    """Whether two normalised answers are the same words, or None when neither need be words: `ab` may be a product.

    More than three bare letters, or three in capitals, are words and keep their order: `BAC` is not `ABC`.
    """
    plain = [" ".join(unfonted(text).split()) for text in (found, wanted)]
    words = [_WORDS.fullmatch(text) is not None for text in plain]
    if not any(words):
        return None
    if all(words):
        if _differ_by_case(*plain) and not any(map(_is_text, (found, wanted))):
            return False
        if len({_PLURAL.sub("", text.casefold()) for text in plain}) == 1:
            return True
        certain = any(map(_is_text, (found, wanted))) or any(" " in text for text in plain) or sorted(plain[0]) == sorted(plain[1])
        product = all(len(text) <= (_FACTORS if text.islower() else _FACTORS - 1) for text in plain)
        return False if certain and not product else None
    return False if _is_text(found if words[0] else wanted) else None


def _differ_by_case(one: str, other: str) -> bool:
    """Whether they are products of other letters: `AB` and `ab`. `Sum` and `sum` are words."""
    if one == other or one.casefold() != other.casefold() or len(one) > _FACTORS or one.casefold() in _SHORT_WORDS:
        return False
    return len(one) < _FACTORS or not {one, other} <= {one.lower(), one.capitalize()}


def _choice(match: re.Match[str] | None) -> Choice | None:
    """None also for what names several letters, `(A),(C)` or `A. B`, or goes on as a formula, `(A)+1`."""
    if match is None or not _CONTENT.fullmatch(match["rest"]):
        return None
    return Choice(match["letter"].upper(), match["rest"].strip())


def _is_text(text: str) -> bool:
    return text.startswith("\\text{") and text.count("\\text{") == 1 and text.endswith("}")
