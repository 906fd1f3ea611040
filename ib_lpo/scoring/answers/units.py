r"""Units of measure after (or, for currencies, before) a value, so that they are compared and not silently dropped.

A value without unit takes the one of the other side: `5` answers `5 cm`. Two units must be the same, by whatever of their names;
nothing is converted, as a question in metres is not answered in kilometres. A single bare letter is a factor, never a unit: `5m` has
none, `5\text{m}` has.
"""

import re
from typing import NamedTuple

_NAMES = {
    "millimeter": "mm millimetre",
    "centimeter": "cm centimetre",
    "meter": "m metre",
    "kilometer": "km kilometre",
    "inch": "in inches",
    "foot": "ft feet",
    "yard": "yd",
    "mile": "mi",
    "milligram": "mg",
    "gram": "g gm",
    "kilogram": "kg",
    "pound": "lb lbs",
    "ounce": "oz",
    "milliliter": "ml millilitre",
    "liter": "l litre",
    "second": "s sec secs",
    "minute": "min mins",
    "hour": "h hr hrs",
    "day": "",
    "week": "wk",
    "month": "",
    "year": "yr yrs",
    "dollar": "usd buck",
    "cent": "",
    "euro": "eur",
    "rupee": "rs",
    "degree": "deg",
    "radian": "rad",
    "celsius": "c",
    "fahrenheit": "f",
    "kelvin": "k",
    "mph": "",
    "am": "",
    "pm": "",
    "unit": "",
}
_TEMPERATURES = {"celsius", "fahrenheit", "kelvin"}
_KNOWN = {alias: name for name, aliases in _NAMES.items() for alias in (name, f"{name}s", *aliases.split())}
_BARE = "|".join(sorted((alias for alias in _KNOWN if len(alias) > 1), key=len, reverse=True))
_POWER = r"\^\s*\{?\s*(?P<power>[2-4])\s*\}?"
_TRAILING = re.compile(
    rf"(?P<value>.*[0-9A-Za-z}})\]!%])(?: ?\\text\{{(?P<text>[^{{}}]*)\}}"
    rf"|(?:(?<![A-Za-z])| )(?P<words>(?:(?:square|cubic|sq|cu)\.? )?(?:{_BARE})\b))(?:{_POWER})?",
    re.IGNORECASE | re.DOTALL,
)
_DEGREES = re.compile(r"(?P<value>.*[0-9A-Za-z}\)])\^\\circ ?(?:\\text\{)?(?P<scale>[CFK]?)\}?", re.DOTALL)
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
_CURRENCY = re.compile(
    r"(?P<sign>-?)(?:\\?\$|\\text\{\\?\$\}|(?P<other>\\pounds|[\u00a3\u20ac]|\\text\{(?:Rs\.?|USD|EUR)\}))(?P<value>-?[0-9.].*)", re.DOTALL
)
_CURRENCIES = {"\\pounds": "pound sterling", "\u00a3": "pound sterling", "\u20ac": "euro"}
_SPELLED_POWERS = {"square": "2", "sq": "2", "cubic": "3", "cu": "3"}
_NO_UNIT = re.compile(
    r"\b(?:or|and|if|when|where|mod|more|less|than|least|most|remainder|for|not|to|between|such|from|base)\b", re.IGNORECASE
)
_SCALES = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_UNIT = re.compile(r"[A-Za-z][A-Za-z .^{}0-9/\-']*")


class Measured(NamedTuple):
    """A value and its unit in canonical spelling; None without."""

    value: str
    unit: str | None


def split_unit(text: str) -> Measured:
    """Part a normalised answer into value and unit."""
    if match := _CURRENCY.fullmatch(text):
        other = match["other"]
        name = "dollar" if other is None else _CURRENCIES.get(other) or _canonical(other.removeprefix("\\text{").rstrip("}"), None)
        return Measured(match["sign"] + split_unit(match["value"]).value, name)
    if _TRIGONOMETRY.search(text):
        return Measured(text, None)  # the unit belongs to the function's argument
    if match := _DEGREES.fullmatch(text):
        return Measured(match["value"], _canonical(match["scale"] or "degree", None))
    match = _TRAILING.fullmatch(text)
    if match is None:
        return Measured(text, None)
    words = (match["words"] or match["text"]).strip()
    if words.lower() in _SCALES:
        return Measured(f"{match['value']}\\cdot10^{{{_SCALES[words.lower()]}}}", None)
    first = words.split(" ")[0].lower()
    if first in _SCALES:
        return Measured(f"{match['value']}\\cdot10^{{{_SCALES[first]}}}", _canonical(words[len(first) :].strip(), match["power"]))
    if not _UNIT.fullmatch(words) or _NO_UNIT.search(words):
        return Measured(text, None)
    return Measured(match["value"], _canonical(words, match["power"]))


def same_unit(found: str | None, wanted: str | None) -> bool:
    """Whether nothing contradicts: the units are the same, or one side leaves its unit, or the scale of its degrees, out."""
    if found is None or wanted is None or found == wanted:
        return True
    names = {found.partition("^")[0], wanted.partition("^")[0]}
    return "unit" in names or ("degree" in names and bool(names & _TEMPERATURES))


def _canonical(words: str, power: str | None) -> str:
    """`sq. cm`, `cm^2` and `square centimetres` are `centimeter^2`; unknown words lose their plural and their case."""
    spelled = [word for word in re.split(r"[ .]+|(?<=/)|(?=/)", words.lower().replace("{", "").replace("}", "")) if word]
    if len(spelled) > 1 and spelled[0] in _SPELLED_POWERS:
        power, spelled = _SPELLED_POWERS[spelled[0]], spelled[1:]
    spelled = ["/" if word == "per" else _single(word) for word in spelled]
    name = {"mile/hour": "mph"}.get("".join(spelled), " ".join(spelled))
    return name if power is None else f"{name}^{power}"


def _single(word: str) -> str:
    name, hat, power = word.partition("^")
    return _KNOWN.get(name, name.removesuffix("s") if len(name) > 3 else name) + hat + power
