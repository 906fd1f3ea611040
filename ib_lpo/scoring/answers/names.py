r"""What only names a value: `x`, `v_{\max}`, `\angle ABC`, `P(Y\ge3)`, `f^{-1}(2)`, `\frac{PQ}{QR}`, `m+n`,
`\frac{dy}{dx}`, `[ABC]`, `|AB|`.

Not `2x`, `x^2`, `x+1`, `\frac1x`, `\sqrt x` or `|x|`, whose equations have other solutions, and not `x(x+1)`, which is a product.
"""

import re

from ib_lpo.scoring.answers.arguments import group_end

_SUBSCRIPT = re.compile(r"_ ?(?=\{)")
_SHORT_SUBSCRIPT = re.compile(r"_ ?(?:\\[A-Za-z]+(?![A-Za-z{])|[0-9A-Za-z])")
_MARKS = re.compile(
    r"'|\^ ?(?:\{ ?(?:-1|\*|\\(?:star|ast|prime|circ)|T|\\prime\\prime) ?\}|\*|\\(?:star|ast|prime)(?![A-Za-z])|T(?![A-Za-z]))"
)
_ACCENTED = re.compile(
    r"\\(?:over(?:line|rightarrow|leftrightarrow)|(?:wide)?hat|(?:wide)?tilde|bar|vec|dot|arc|frown|math(?:bf|bb|cal|scr|frak|rm)|operatorname|text)"
    r" ?(?:\{(?P<content>[^{}]*)\}|(?P<letter>[A-Za-z]))"
)
_LIMITS = re.compile(r"(\\(?:int|sum|prod|bigcup|bigcap) ?)(?:\^ ?(?:\{[^{}]*\}|\\?[0-9A-Za-z]+))?")
_FRACTION = re.compile(r"\\frac\{(?P<over>[^{}]+)\}\{(?P<under>[^{}]+)\}")
_AREA = re.compile(r"\[[A-Z]{3,}\]")
_BARS = re.compile(r"\\?\|(?:[A-Zzwv\x01 +-]|\\(?:cup|cap|setminus|to|vec)(?![A-Za-z]))+\\?\|")
_CALLED = re.compile(r"(?P<head>\x01|\\?[A-Za-z]+)(?P<arguments>[(\[])")
_TERM = r"(?:\\(?!(?:sqrt|frac|cdot|times|div|pm|binom|pi|infty)(?![A-Za-z]))[A-Za-z]+ ?|[A-Za-z] ?|\{[A-Za-z ]+\}|\x01 ?)++"
_NAME = re.compile(rf"{_TERM}(?:[-+/:] ?{_TERM})*")
_CLOSING = {"(": ")", "[": "]"}
_WORD = "\x01"  # stands for something that is a name


def is_name(text: str) -> bool:
    """Whether a normalised text, the left side of an equation, only names its value."""
    text = _MARKS.sub("", _unscripted(text))
    text = _LIMITS.sub(r"\1", _ACCENTED.sub(_unaccented, text))
    text = _BARS.sub(_WORD, _AREA.sub(_WORD, _uncalled(text)))
    for fraction in _FRACTION.finditer(text):
        if not (is_name(fraction["over"]) and is_name(fraction["under"])):
            return False
    return _NAME.fullmatch(_FRACTION.sub(_WORD, text).strip()) is not None


def _unaccented(match: re.Match[str]) -> str:
    """What is under an accent or in a font: a letter or a word; of a vector, or several words, only that it is a name."""
    content = match["content"] or match["letter"] or ""
    return f" {_WORD} " if " " in content or match[0].startswith(("\\vec", "\\over")) else content


def _unscripted(text: str) -> str:
    for match in reversed(list(_SUBSCRIPT.finditer(text))):
        end = group_end(text, match.end())
        text = text if end is None else text[: match.start()] + text[end:]
    return _SHORT_SUBSCRIPT.sub("", text)


def _uncalled(text: str) -> str:
    """`text` with every call `f(...)` under its name alone. What has its own head among its arguments is a product and stays."""
    for match in reversed(list(_CALLED.finditer(text))):
        opening = match.start("arguments")
        end = _bracket_end(text, opening)
        if end is None or _is_factor(match["head"], text[opening:end]):
            continue
        if match["arguments"] == "[" and match["head"] not in ("E", "V", "D"):
            continue
        text = text[:opening] + text[end:]
    return text


def _is_factor(head: str, arguments: str) -> bool:
    """Whether what stands before brackets is in them as well; the vertex A of a triangle ABC is not the area A."""
    return re.search(rf"(?<![A-Za-z]){re.escape(head)}(?![A-Za-z])" if head.isupper() else re.escape(head), arguments) is not None


def _bracket_end(text: str, opening: int) -> int | None:
    depth = 0
    for at in range(opening, len(text)):
        depth += (text[at] in "([") - (text[at] in ")]")
        if depth == 0:
            return at + 1
    return None
