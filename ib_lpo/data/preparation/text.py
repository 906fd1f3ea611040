r"""Questions as texts to compare: when two are the same, and which words they have.

`normalise` is idempotent, and blind to case, Unicode compatibility forms, white space that separates no words, `$` and the other marks of
maths mode, LaTeX spacing, sizes of brackets and fractions, braces around one character, and punctuation at the end.
"""

import re
import unicodedata

_RAISED = str.maketrans({character: f"^{digit}" for digit, character in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")})
_NOTHING = re.compile(r"\\?\$|\\[()\[\]]|\\[,;:!>]|\\(?:left|right|displaystyle)(?![a-z])")
_SPACE = re.compile(r"\\\\|\\q?quad(?![a-z])|\\ |~|\s+")
_FRACTION = re.compile(r"\\[dtc]frac(?![a-z])")
_BRACED = re.compile(r"\{([^\W_])\}")
_IDLE = re.compile(r"(?<!\w) | (?!\w)")
CJK = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_WORD = re.compile(rf"[{CJK}]|[^\W{CJK}_]+")


def normalise(question: str) -> str:
    """The text that duplicates have in common."""
    before, text = None, question.translate(_RAISED)
    while text != before:
        before, text = text, _once(text)
    return text


def words(question: str) -> list[str]:
    """Words and numbers in order, case folded; names of LaTeX commands are words, symbols are not; each CJK character is a word."""
    return _WORD.findall(_folded(question.translate(_RAISED)))


def _once(text: str) -> str:
    text = _NOTHING.sub("", _folded(text))
    text = _BRACED.sub(r"\1", _FRACTION.sub(r"\\frac", text))
    return _IDLE.sub("", _SPACE.sub(" ", text).replace("  ", " ")).strip().rstrip(".?:;, ")


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
