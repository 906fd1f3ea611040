r"""One spelling for what never changes a meaning: outer dollars, a final full stop, bracket sizes, fonts, spaces beside symbols.

A space between two letters or digits stays: `1 1/2` is not `11/2`. So does one after a comma that would otherwise part thousands:
`1, 100` is two numbers. Fonts of a whole number, of a letter that is no unit, or of a choice vanish; other text is kept as `\text{...}`,
since `\text{m}` after a number is a unit and `m` is a factor.
"""

import re

from ib_lpo.scoring.answers.units import UNIT_LETTERS

_FRACTIONS = ("12", "14", "34", "13", "23")
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
    | {
        fraction: f"\\frac{{{over}}}{{{under}}}"
        for fraction, (over, under) in zip("\u00bd\u00bc\u00be\u2153\u2154", _FRACTIONS, strict=True)
    }
    | dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", "")  # of no width and no effect on what stands beside them
)
_SIZED = re.compile(r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|limits)(?![A-Za-z])|\\!")
_SUPERSCRIPTS = str.maketrans("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b", "0123456789-")
_RAISED = re.compile("[\u2070\u00b9\u00b2\u00b3\u2074-\u2079\u207b]+")
_ROOT = re.compile(r"\u221a(?:([0-9]+|[A-Za-z])|\(([^()]*)\)|(?=\{))")
_DECORATED = re.compile(r"\\(?:text)?color\s*\{[A-Za-z]+\}|\\(?:bf|it|rm|underline)(?![A-Za-z])|^\s*\\approx(?![A-Za-z])")
_STARRED = re.compile(r"\s*\*\*([^*]+)\*\*\s*")
_ROW = r"\\"  # its second backslash begins no command
_THIN = re.compile(r"\\\\|\\[,;: ]|\\q?quad(?![A-Za-z])|~|\s+")
_FONT = re.compile(r"\\(?:text(?:bf|it|rm|normal|sf|tt)?|math(?:rm|bf|it|sf)|mbox|operatorname)\s*\{([^{}]*)\}")
_PLAIN_TEXT = re.compile(r"[-+0-9.,/]+")
_JOINED = re.compile(r",?(?: ?\\text\{ ?(?:and|or) ?\} ?|(?<![A-Za-z]{2}) (?:and|or) (?![A-Za-z]{2}))")
_NO_LIST = r"(?!(?<=[0-9],) [0-9]{3}(?![0-9]))"  # a comma before a space parts no thousands
_FREE_SPACE = re.compile(rf"{_NO_LIST}(?:(?<![0-9A-Za-z]) | (?![0-9A-Za-z]))")
_UNNEEDED_SPACE = re.compile(rf"{_NO_LIST}(?:(?<![0-9]) | (?![0-9]))")
_BUILT = re.compile(
    r"\\\{(?P<letter>[A-Za-z])(?:\\in ?\\mathbb\{R\})?(?:\\mid(?![A-Za-z])|\\vert(?![A-Za-z])|[|:]) ?"
    r"(?P<relation>[^|:]*(?:[<>=]|\\[lgn]e(?![A-Za-z]))[^|:]*)\\\}"
)
_SETS = (
    (re.compile(r"(?:there (?:is|are) )?no (?:real )?solutions?", re.IGNORECASE), r"\{\}"),
    (re.compile(r"all (?:reals|real numbers)", re.IGNORECASE), r"\mathbb{R}"),
)
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
    (re.compile(r"\{\s*([,:])\s*\}"), lambda match: match[1]),
    (re.compile(r"\\text\{([A-Za-z]+)\} ?/ ?\\text\{([A-Za-z]+)\}"), lambda match: f"\\text{{{match[1]}/{match[2]}}}"),
    (re.compile(r"\\equiv(?![A-Za-z])"), lambda match: "="),
    (re.compile(r"\^ ?-([0-9]+|[A-Za-z])"), lambda match: f"^{{-{match[1]}}}"),
    (re.compile(r"(?<![A-Za-z])([ap])\. ?m(?![A-Za-z])\.?", re.IGNORECASE), lambda match: f"{match[1]}m"),
    (re.compile(r"\^\s*\{\s*\\(?:circ|degree)\s*\}|\\degree(?![A-Za-z])"), lambda match: r"^\circ "),
    (re.compile(r"(?<!\\)%|\\(?:text|mathrm)\{ ?per ?cent ?\}|(?<=[0-9}]) ?per ?cent\b"), lambda match: r"\%"),
    (re.compile(r"\\emptyset(?![A-Za-z])"), lambda match: r"\{\}"),
    (re.compile(r"\\text\{ ?infinity ?\}|^\s*infinity\s*$", re.IGNORECASE), lambda match: r"\infty"),
]
_GROUP = re.compile(r"\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)(?<!\\)\}")
_OUTER = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"))


def normalise(expression: str) -> str:
    """The spelling described above. Empty for what holds no answer. Linear in the text."""
    starred = _STARRED.fullmatch(expression)
    text = _ROOT.sub(_rooted, (starred[1] if starred else expression).translate(_CHARACTERS))
    text = _RAISED.sub(lambda match: f"^{{{match[0].translate(_SUPERSCRIPTS)}}}", text)
    text = _SIZED.sub("", _DECORATED.sub(" ", text)).replace("**", "^").replace("$\\$", "\\$")
    text = _undelimited(_THIN.sub(lambda match: _ROW if match[0] == _ROW else " ", text))
    text = _FONT.sub(_unfonted, text)
    for pattern, spelling in _SYNONYMS:
        text = pattern.sub(spelling, text)
    text = _FREE_SPACE.sub("", _JOINED.sub(", ", text)).strip().rstrip(".")
    whole = _WHOLE.fullmatch(text)
    text = _FREE_SPACE.sub("", whole[1]).rstrip(".") if whole and _VALUE.match(whole[1]) else text
    return _as_set(text)


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
    grouped = _GROUP.fullmatch(text)
    return grouped[1].strip() if grouped else text


def _as_set(text: str) -> str:
    """What describes a set, in words or by a relation of its elements, is spelled like it."""
    built = _BUILT.fullmatch(text)
    if built is not None and "," not in built["relation"]:
        return built["relation"]
    return next((spelling for words, spelling in _SETS if words.fullmatch(unfonted(text))), text)


def _rooted(match: re.Match[str]) -> str:
    return "\\sqrt" if match[0] == "\u221a" else f"\\sqrt{{{match[1] or match[2]}}}"


def _unfonted(match: re.Match[str]) -> str:
    content = match[1].strip()
    letter = len(content) == 1 and content.isalpha() and content not in UNIT_LETTERS
    return content if letter or _PLAIN_TEXT.fullmatch(content) else f"\\text{{{content}}}"
