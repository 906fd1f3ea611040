r"""One spelling for what never changes a meaning: the steps of the files beside this one, in order, and synonyms, spaces, words.

A space between two letters or digits stays: `1 1/2` is not `11/2`. So does one after a comma that would otherwise part thousands:
`1, 100` is two numbers. Fonts of a whole number, of a letter that is no unit, or of a choice vanish; other text is kept as `\text{...}`.
"""

import re

from ib_lpo.scoring.answers.arguments import braced
from ib_lpo.scoring.answers.brackets import top_level
from ib_lpo.scoring.answers.characters import ascii_spelling
from ib_lpo.scoring.answers.dress import undelimited, undressed, unescaped
from ib_lpo.scoring.answers.lists import listed
from ib_lpo.scoring.answers.names import is_name
from ib_lpo.scoring.answers.plain import latex_of
from ib_lpo.scoring.answers.relations import ascending
from ib_lpo.scoring.answers.rows import unstacked

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
_LONE_UNIT = r"[A-Za-z]+(?:-[0-9]|\^[0-9])?"
_IN_BRACKETS = re.compile(
    r"^(?P<value>(?:[^A-Za-z]|\\[A-Za-z]+)*[0-9}]) \( ?(?:in )?(?:\\text\{)?(?P<words>[A-Za-z][A-Za-z /^0-9]*[A-Za-z0-9])\}? ?\)$"
)
_THOUSANDS = re.compile(r"(?<=[0-9])(?:\{ ?, ?\}|,(?=(?:\s|\\[,;: ])*\\!))(?:\s|\\[,!;: ]|~)*(?=[0-9]{3}(?![0-9]))")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_GROUPS = re.compile(r"(?<![0-9A-Za-z.,_^])[1-9][0-9]{0,2}(?:,[0-9]{3})+(?![0-9]|,[0-9])")
_DOTS = re.compile(r"(?<![0-9.])([0-9]*\.[0-9]+) ?(?:\.{3,}|\\(?:ldots|[cl]?dots[cbm]?)(?![A-Za-z])\.?)")


def _unit_product(match: re.Match[str]) -> str:
    return f"\\text{{{match[1]}{'/' if match[2] == '/' else ' '}{match[3]}}}"


_SYNONYMS = [
    (re.compile(rf"\\(?:{names})(?![A-Za-z])"), lambda match, name=name: name if name in "<>" else f"\\{name}")
    for name, names in {
        "frac": "[dtc]frac",
        "binom": "[dt]binom",
        "<": "lt",
        ">": "gt",
        "le": "leq|leqslant",
        "ge": "geq|geqslant",
        "ne": "neq",
        "{": "lbrace",
        "}": "rbrace",
        "emptyset": "varnothing",
        "to": "rightarrow",
    }.items()
] + [
    (re.compile(r"\{ ?([,:]) ?\}"), lambda match: match[1]),
    (re.compile(r"_\{ ?([0-9A-Za-z]) ?\}"), lambda match: f"_{match[1]}"),
    (re.compile(r"(?<!\\)\{\}"), lambda match: ""),
    (re.compile(rf"\\text\{{ ?({_LONE_UNIT}) ?\}} ?(/|\\cdot(?![A-Za-z])) ?\\text\{{ ?({_LONE_UNIT}) ?\}}"), _unit_product),
    (re.compile(r"\\equiv(?![A-Za-z])"), lambda match: "="),
    (re.compile(r"\^ ?-([0-9]+|[A-Za-z])"), lambda match: f"^{{-{match[1]}}}"),
    (re.compile(r"(?<![A-Za-z])([ap])\. ?m(?![A-Za-z])\.?", re.IGNORECASE), lambda match: f"{match[1]}m"),
    (
        re.compile(r"\^ ?\{ ?\\(?:circ|degree) ?\}|\\degree(?![A-Za-z])|\{ ?\^ ?\\circ ?\}|(?<=[0-9])\^ ?(?:\{o\}|o(?![A-Za-z]))"),
        lambda match: r"^\circ ",
    ),
    (re.compile(r"(?<!\\)%|\\(?:text|mathrm)\{ ?per ?cent ?\}|(?<=[0-9}]) ?per ?cent\b"), lambda match: r"\%"),
    (re.compile(r"\\emptyset(?![A-Za-z])"), lambda match: r"\{\}"),
    (re.compile(r"\\text\{ ?infinity ?\}", re.IGNORECASE), lambda match: r"\infty"),
    (re.compile(r"\{? ?\\euro(?![A-Za-z]) ?\}?"), lambda match: "\u20ac"),
    (re.compile(r"^(?:\\(?:approx|sim)(?![A-Za-z])|(?:approximately|approx\.?|about|around|roughly) ) ?", re.IGNORECASE), lambda match: ""),
    (
        re.compile(r"(\\frac ?(?:\{[0-9]+\}|[0-9]) ?(?:\{[0-9]+\}|[0-9])) ([A-Za-z]{2,}(?: [A-Za-z]+)*)$"),
        lambda match: f"{match[1]}\\text{{{match[2]}}}",
    ),
    (_IN_BRACKETS, lambda match: f"{match['value']}\\text{{{match['words']}}}"),
]


def normalise(expression: str) -> str:
    """The spelling described above. Empty for what holds no answer."""
    if _NUMBER.fullmatch(expression):
        return expression
    text = undressed(separated(ascii_spelling(unescaped(expression))))
    text = undelimited(latex_of(text))
    for pattern, spelling in _SYNONYMS:
        text = pattern.sub(spelling, text)
    text = listed(unstacked(braced(text)))
    text = _FREE_SPACE.sub("", text).strip().rstrip(".,;")
    whole = _WHOLE.fullmatch(text)
    text = _FREE_SPACE.sub("", whole[1]).rstrip(".") if whole and _VALUE.match(whole[1]) else text
    return ascending(exact_side(whole_thousands(_as_set(text))))


def separated(text: str) -> str:
    r"""`text` without the marks that certainly part thousands, `{,}` and `,\!`, and with `\ldots` for the dots after a decimal."""
    return _DOTS.sub(r"\1\\ldots ", _THOUSANDS.sub("", text))


def whole_thousands(text: str) -> str:
    """`text` without the commas that part thousands, if all outside brackets do: `x=1,234` is `x=1234`, `3,100,200,5` is a list."""
    outside = top_level(text)
    if "," not in outside or ";" in outside or "," in _GROUPS.sub("", outside):
        return text
    return _GROUPS.sub(lambda match: match[0].replace(",", ""), text)


def exact_side(text: str) -> str:
    r"""What a decimal is said to be the rounding of: `x=10\pi\approx31.4` is `x=10\pi`. A name is no such thing: `x\approx31.4` stays."""
    exact, sign, _ = text.partition("\\approx")
    return exact.strip() if sign and exact.strip() and not is_name(exact.rpartition("=")[2].strip()) else text


def unfonted(text: str) -> str:
    r"""`text` with the content of every `\text{...}` in its place."""
    return _WHOLE.sub(lambda match: match[1], text)


def bare(text: str) -> str:
    """`text` without fonts, and without spaces except between digits."""
    return _UNNEEDED_SPACE.sub("", unfonted(text))


def _as_set(text: str) -> str:
    """What describes a set, in words or by a relation of its elements, is spelled like it."""
    built = _BUILT.fullmatch(text)
    if built is not None and "," not in built["relation"]:
        return built["relation"]
    return next((spelling for words, spelling in _SETS if words.fullmatch(unfonted(text))), text)
