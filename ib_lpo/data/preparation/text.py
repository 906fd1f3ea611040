r"""Questions as texts to compare: when two are the same, and which words they have.

Both are blind to what only formats: Unicode compatibility forms, `$` and the other marks of maths mode, LaTeX spacing, fonts, sizes of
brackets, fractions and limits. `normalise` is blind besides to case outside of maths, where N and n are two variables, white space that
separates no words, braces around one character, and punctuation at the end; `words` to all case, symbols and braces.
"""

import re
import unicodedata
from collections.abc import Callable

_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_RAISED_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_MATHS = re.compile(r"(\$\$.*?\$\$|(?<!\\)\$[^$]*(?<!\\)\$|\\\(.*?\\\)|\\\[.*?\\\])", re.DOTALL)
_FONT = r"text(?:bf|it|rm|sf|tt)?|math(?:rm|bf|it|sf|normal)|boldsymbol|operatorname\*?|mbox"
_FONT_OF = re.compile(rf"\\(?:{_FONT})\s*\{{([^{{}}]*)\}}")
_SIZE = r"left|right|[bB]igg?[lrm]?|displaystyle|textstyle|scriptstyle|(?:no)?limits|rm|bf"
_NOTHING = re.compile(rf"\\?\$|\\[()\[\]]|\\[,;:!>]|\\(?:{_FONT}|{_SIZE})(?![a-zA-Z])")
_SPACE = re.compile(r"\\\\|\\q?quad(?![a-zA-Z])|\\ |~|\s+")
_FRACTION = re.compile(r"\\[dtc]frac(?![a-zA-Z])")
_OVER = re.compile(r"\\frac(?![a-zA-Z])\s*([^\W_])")
_UNDER = re.compile(r"(\\frac\{[^{}]*\})\s*([^\W_])")
_BRACED = re.compile(r"\{([^\W_])\}")
_IDLE = re.compile(r"(?<!\w) | (?!\w)")
CJK = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_WORD = re.compile(rf"[{CJK}]|\d+|[^\W\d{CJK}_]+")


def normalise(question: str) -> str:
    """The text that duplicates have in common."""
    compatible = _compatible(question)
    pieces = _MATHS.split(compatible)  # every second one is maths
    folded = "".join(piece if index % 2 else piece.casefold() for index, piece in enumerate(pieces))
    return _settled(folded, lambda text: _bare(_plain(text)))


def words(question: str) -> list[str]:
    """Words and numbers in order, case folded; names of LaTeX commands are words, symbols are not; each CJK character is a word."""
    text = _settled(_compatible(question), _plain)
    return _WORD.findall(unicodedata.normalize("NFKC", text.casefold()))


def _compatible(text: str) -> str:
    raised = _RAISED_RUN.sub(lambda run: f"^{{{run[0].translate(_RAISED)}}}", text)
    return unicodedata.normalize("NFKC", raised)


def _settled(text: str, step: Callable[[str], str]) -> str:
    """`step` again and again, until it changes nothing."""
    before = None
    while text != before:
        before, text = text, step(text)
    return text


def _plain(text: str) -> str:
    text = _FONT_OF.sub(r"\1", unicodedata.normalize("NFKC", text))
    text = _NOTHING.sub("", _FRACTION.sub(r"\\frac", text))
    text = _UNDER.sub(r"\1{\2}", _OVER.sub(r"\\frac{\1}", text))
    return _SPACE.sub(" ", text)


def _bare(text: str) -> str:
    return _IDLE.sub("", _BRACED.sub(r"\1", text).replace("  ", " ")).strip().rstrip(".?:;, ")
