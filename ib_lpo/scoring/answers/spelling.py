r"""One spelling for what never changes a meaning: outer dollars, a final full stop, bracket sizes, fonts, spaces beside symbols.

A space between two letters or digits stays: `1 1/2` is not `11/2`. Fonts of a whole number, letter or choice vanish; other text is
kept as `\text{...}`, since `\text{m}` after a number is a unit and `m` is a factor.
"""

import re

_CHARACTERS = str.maketrans(
    {
        "\u2212": "-",
        "\u00d7": "\\times ",
        "\u00b7": "\\cdot ",
        "\u00f7": "/",
        "\u03c0": "\\pi ",
        "\u221e": "\\infty ",
        "\u00b0": "^\\circ ",
        "\u2264": "\\le ",
        "\u2265": "\\ge ",
        "\u222a": "\\cup ",
        "\u2205": "\\emptyset ",
    }
    | dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", "")  # of no width and no effect on what stands beside them
)
_SIZED = re.compile(r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|limits)(?![A-Za-z])|\\!")
_THIN = re.compile(r"\\[,;: ]|\\q?quad(?![A-Za-z])|~|\s+")
_FONT = re.compile(r"\\(?:text(?:bf|it|rm|normal|sf|tt)?|math(?:rm|bf|it|sf)|mbox|operatorname)\s*\{([^{}]*)\}")
_PLAIN_TEXT = re.compile(r"[-+0-9.,/]+")
_JOINED = re.compile(r",?(?: ?\\text\{ ?(?:and|or) ?\} ?|(?<![A-Za-z]{2}) (?:and|or) (?![A-Za-z]{2}))")
_FREE_SPACE = re.compile(r"(?<![0-9A-Za-z]) | (?![0-9A-Za-z])")
_UNNEEDED_SPACE = re.compile(r"(?<![0-9]) | (?![0-9])")
_WHOLE = re.compile(r"\\text\{([^{}]*)\}")
_VALUE = re.compile(r"[-+]?[0-9.$\\]|(?!.*[A-Za-z]{2})", re.DOTALL)  # how a text begins, or is, that is more than words
_SYNONYMS = [
    (re.compile(rf"\\(?:{names})(?![A-Za-z])"), lambda match, name=name: f"\\{name}")
    for name, names in {
        "frac": "[dtc]frac",
        "le": "leq|leqslant",
        "ge": "geq|geqslant",
        "ne": "neq",
        "{": "lbrace",
        "}": "rbrace",
        "emptyset": "varnothing",
        "to": "rightarrow",
    }.items()
] + [
    (re.compile(r"\{\s*,\s*\}"), lambda match: ","),
    (re.compile(r"\^\s*\{\s*\\(?:circ|degree)\s*\}|\\degree(?![A-Za-z])"), lambda match: r"^\circ "),
    (re.compile(r"(?<!\\)%|\\(?:text|mathrm)\{ ?per ?cent ?\}|(?<=[0-9}]) ?per ?cent\b"), lambda match: r"\%"),
    (re.compile(r"\\emptyset(?![A-Za-z])"), lambda match: r"\{\}"),
    (re.compile(r"\\text\{ ?infinity ?\}|^\s*infinity\s*$", re.IGNORECASE), lambda match: r"\infty"),
]
_OUTER = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"))


def normalise(expression: str) -> str:
    """The spelling described above. Empty for what holds no answer. Linear in the text."""
    text = _SIZED.sub("", expression.translate(_CHARACTERS)).replace("**", "^").replace("$\\$", "\\$")
    text = _undelimited(_THIN.sub(" ", text))
    text = _FONT.sub(_unfonted, text)
    for pattern, spelling in _SYNONYMS:
        text = pattern.sub(spelling, text)
    text = _FREE_SPACE.sub("", _JOINED.sub(",", text)).strip().rstrip(".")
    whole = _WHOLE.fullmatch(text)
    return _FREE_SPACE.sub("", whole[1]).rstrip(".") if whole and _VALUE.match(whole[1]) else text


def unfonted(text: str) -> str:
    r"""`text` with the content of every `\text{...}` in its place."""
    return _WHOLE.sub(lambda match: match[1], text)


def bare(text: str) -> str:
    """`text` without fonts, and without spaces except between digits."""
    return _UNNEEDED_SPACE.sub("", unfonted(text))


def _undelimited(text: str) -> str:
    text = text.strip().rstrip(".").strip()
    for left, right in _OUTER:
        inner = text[len(left) : -len(right)]
        if text == left + inner + right and left not in inner:
            text = inner.strip()
    return text


def _unfonted(match: re.Match[str]) -> str:
    content = match[1].strip()
    return content if _PLAIN_TEXT.fullmatch(content) else f"\\text{{{content}}}"
