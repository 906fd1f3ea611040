r"""What dresses an answer without changing it: fonts, sizes, colours, frames, spaces, mathematical delimiters, punctuation at its end,
backslashes that were doubled by an escape.

A font around a word stays as `\text{...}`, since `\text{m}` after a number is a unit and `m` is a factor.
"""

import re

from ib_lpo.scoring.answers.arguments import group_end
from ib_lpo.scoring.answers.unit_names import UNIT_LETTERS

_ROW = r"\\"  # its second backslash begins no command
_ENVIRONMENT = re.compile(r"\\begin(?![A-Za-z])")
_SIZES = re.compile(
    r"\\(?:left|right|middle)\.|\\(?:left|right|middle|[bB]igg?[lrm]?|displaystyle|textstyle|scriptstyle|limits|nolimits|strut|mathstrut|boldmath"
    r"|tiny|scriptsize|footnotesize|small|normalsize|large|Large|LARGE|huge|Huge|bf|it|rm|sf|tt|em|hfill|noindent|par|nonumber)(?![A-Za-z])"
    r"|\\!|\\[hvm]s(?:pace|kip)\*?\s*\{[^{}]*\}|\\h?phantom\s*\{[^{}]*\}"
)
_COLOURS = re.compile(r"\\(?:text)?color(?:box)?\s*(?:\[[^\[\]]*\])?\s*\{[^{}]*\}|\\fcolorbox\s*\{[^{}]*\}\s*\{[^{}]*\}")
_THIN = re.compile(r"\\\\|\\[,;: ]|\\q?quad(?![A-Za-z])|~|\s+")
_FONTS = re.compile(
    r"\\(?P<font>text(?:bf|it|rm|normal|sf|tt|sc|up|md)?|math(?:rm|bf|it|sf|tt|normal|bfit)|mbox|operatorname|boldsymbol|bm|pmb|bold|emph"
    r"|underline|ensuremath|f?box|framebox)\*?\s*\{"
)
_UPRIGHT = {"text", "textrm", "textnormal", "mathrm", "mbox", "operatorname", "textup"}
_PLAIN_TEXT = re.compile(r"[-+0-9.,/]+")
_UNIT_PRODUCT = re.compile(r"(?:[A-Za-z]|\\(?:cdot|times|mu|Omega)(?![A-Za-z])|\^ ?(?:\{ ?-?[0-9] ?\}|-?[0-9])|[ ./])+")
_MATHS = re.compile(r"\\[()]|(?<!\\)\\[\[\]](?![^\\]*\\\\)|(?<!\\)\$")
_BOLD = re.compile(r"(?<![\w)}\]*])\*\*([^*]+)\*\*(?![\w({\\*])")
_QUOTED = re.compile(r"""`([^`]*)`|"([^"]*)"|\u201c([^\u201d]*)\u201d|'([^']*)'""")
_OUTER = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"))
_END = re.compile(r"(?:[\s.,;:]|\\\\)+$")


def unescaped(text: str) -> str:
    r"""`text` with single backslashes where an escape doubled them all: `\\frac{1}{2}`. In an environment `\\` ends a row."""
    if _ENVIRONMENT.search(text):
        return text.replace(_ROW, "\\") if text.count(_ROW + "begin") == text.count("begin") else text
    return re.sub(r"\\\\(?=[A-Za-z\\{}$%,;:!()\[\]])", r"\\", text)


def undressed(text: str) -> str:
    """`text` without sizes, colours, fonts and delimiters, every space a single blank."""
    quoted = _QUOTED.fullmatch(text.strip())
    text = next(filter(None, quoted.groups()), "") if quoted else text
    text = _SIZES.sub(" ", _COLOURS.sub(" ", _BOLD.sub(r"\1", text)))
    text = undelimited(_THIN.sub(lambda match: _ROW if match[0] == _ROW else " ", text.replace("$\\$", "\\$")))
    return unfonted_groups(text)


def unfonted_groups(text: str) -> str:
    """`text` with every font command gone, but for upright words, which are `\\text{...}`. Taken from the right: inner ones come first."""
    for match in reversed(list(_FONTS.finditer(text))):
        end = group_end(text, match.end() - 1)
        if end is not None:
            text = text[: match.start()] + _unfonted(match["font"], text[match.end() : end - 1].strip()) + text[end:]
    return text


def undelimited(text: str) -> str:
    """`text` without what surrounds it, or parts of it, to say that it is mathematics, and without punctuation at its end."""
    for _ in range(2):
        text = _END.sub("", text).strip()
        for left, right in _OUTER:
            inner = text[len(left) : -len(right)]
            if len(text) > len(left + right) and text == left + inner + right and left not in inner:
                text = inner.strip()
    if len(re.findall(r"(?<!\\)\$", text)) % 2 == 0:  # else one of them is a currency
        text = " ".join(_MATHS.sub(" ", text).split())
    if text.startswith("{") and group_end(text, 0) == len(text):
        text = text[1:-1].strip()
    return text


def _unfonted(font: str, content: str) -> str:
    letter = len(content) == 1 and content.isalpha() and content not in UNIT_LETTERS
    if not content or letter or _PLAIN_TEXT.fullmatch(content):
        return content
    if "{" not in content and "\\" not in content:
        return f"\\text{{{content}}}"
    if font in _UPRIGHT and _UNIT_PRODUCT.fullmatch(content):
        return f"\\text{{{_flat(content)}}}"
    return f"{{{content}}}"


def _flat(unit: str) -> str:
    r"""A unit in text: `m\cdot s^{-1}` is `m s-1`."""
    return " ".join(re.sub(r"\\(?:cdot|times)(?![A-Za-z])", " ", re.sub(r"[{} ]*\^[{ ]*(-?[0-9])[ }]*", _exponent, unit)).split()).replace(
        "\\", ""
    )


def _exponent(match: re.Match[str]) -> str:
    return f"{'' if match[1][0] == '-' else '^'}{match[1]} "
