r"""Units of measure after (or, for currencies, before) a value, so that they are compared and not silently dropped.

A value without unit takes the one of the other side: `5` answers `5 cm`. Two units must be the same, by whatever of their names;
nothing is converted, as a question in metres is not answered in kilometres. A word that is not known to be a unit, as in `6 students`,
may be left out of plain numbers alone. A single bare letter is a factor unless a space parts it from a number: `5m` has no unit,
`5\text{m}` and `5 m` have. A modulus is compared like a unit.
"""

import re
from typing import NamedTuple

from ib_lpo.scoring.answers.numbers import read_number

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
    "newton": "n",
    "volt": "v",
    "ampere": "a amp",
    "joule": "j",
    "watt": "w",
    "mph": "",
    "am": "",
    "pm": "",
    "unit": "",
}
_TEMPERATURES = {"celsius", "fahrenheit", "kelvin"}
_KNOWN = {alias: name for name, aliases in _NAMES.items() for alias in (name, f"{name}s", *aliases.split())}
UNIT_LETTERS = frozenset("mgshlLCFKNVAJW")  # the one-letter names, as they are written
_BARE = "|".join(sorted((alias for alias in _KNOWN if len(alias) > 1), key=len, reverse=True))
_POWER = r"\^\s*\{?\s*(?P<power>[2-4])\s*\}?"
_TRAILING = re.compile(
    rf"(?P<value>.*[0-9A-Za-z}})\]!%])(?: ?\\text\{{(?P<text>[^{{}}]*)\}}"
    rf"|(?:(?<![A-Za-z])| )(?P<words>(?:(?:square|cubic|sq|cu)\.? )?(?:{_BARE})\b))(?:{_POWER})?",
    re.IGNORECASE | re.DOTALL,
)
_COUNTED = re.compile(
    rf"(?P<value>(?:\\frac|[^A-Za-z\\]|\\%)*?[0-9}}%]) (?P<words>(?:[A-Za-z]{{2,}}(?:[ /][A-Za-z]+){{0,3}}|[mgshlL]))(?:{_POWER})?"
)
_MODULUS = re.compile(
    r"(?P<value>.*[^ (]) ?(?:\\[bp]?mod(?![A-Za-z])|\(\\(?:bmod(?![A-Za-z])|text\{mod\})|(?<= )mod(?![A-Za-z]))"
    r" ?\{?(?P<modulus>[0-9]+)\}?\)?",
    re.DOTALL,
)
_DEGREES = re.compile(r"(?P<value>.*[0-9A-Za-z}\)])\^\\circ ?(?:\\text\{)?(?P<scale>[CFK]?)\}?", re.DOTALL)
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
_CURRENCY = re.compile(
    r"(?P<sign>-?)(?:\\?\$|\\text\{\\?\$\}|(?P<other>\\pounds|[\u00a3\u20ac]|\\text\{(?:Rs\.?|USD|EUR)\}))(?P<value>-?[0-9.].*)", re.DOTALL
)
_CURRENCIES = {"\\pounds": "pound sterling", "\u00a3": "pound sterling", "\u20ac": "euro"}
_SPELLED_POWERS = {"square": "2", "sq": "2", "cubic": "3", "cu": "3"}
_NO_UNIT = re.compile(
    r"\b(?:or|and|if|when|where|mod|more|less|than|least|most|remainder|for|not|to|between|such|from|base|is|are|was|be|as|the|so|has|have"
    r"|out|but|except|instead|yes|no|none|never|true|false|impossible|undefined|maybe|probably|hence|therefore|answer|wrong|correct"
    r"|squared|cubed|factorial|half|halves|(?:thi|qua)r(?:d|ter)s?|(?:four|fif|six|seven|eigh|nin|ten|hundred|thousand)ths?|tens|dozens|scores?"
    r"|hundreds|thousands|millions|plus|minus|times|over|choose|divided|power|root|prime|st|nd|rd|th|pi|pairs?|double|twice|negative)\b",
    re.IGNORECASE,
)
_MODULO_ZERO = "modulo 0"
_DOZEN = r"\cdot12"
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_UNIT = re.compile(r"[A-Za-z][A-Za-z .^{}0-9/\-']*")


class Measured(NamedTuple):
    """A value and its unit in canonical spelling; None without."""

    value: str
    unit: str | None
    known: bool = True  # False: any word, which need not be one


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
    if match := _MODULUS.fullmatch(text):
        return Measured(match["value"], f"modulo {int(match['modulus'])}")
    match = _COUNTED.fullmatch(text)
    if match is None or read_number(match["value"]) is None:
        match = _TRAILING.fullmatch(text)
    if match is None:
        return Measured(text, None)
    words = (match["words"] or match["text"]).strip()
    scale = words.split(" ")[0].lower()
    value = match["value"]
    if scale in _SCALES or scale == "dozen":
        value += f"\\cdot10^{{{_SCALES[scale]}}}" if scale in _SCALES else _DOZEN
        words = words[len(scale) :].strip()
        if not words:
            return Measured(value, None)
    if not _UNIT.fullmatch(words) or _NO_UNIT.search(words):
        return Measured(text, None)
    return Measured(value, *_named(words, match["power"]))


def same_unit(found: str | None, wanted: str | None) -> bool:
    """Whether nothing contradicts: the units are the same, or one side leaves its unit, or the scale of its degrees, out.

    A modulus of zero is never left out.
    """
    if _MODULO_ZERO in (found, wanted):
        return found == wanted
    if found is None or wanted is None or found == wanted:
        return True
    names = {found.partition("^")[0], wanted.partition("^")[0]}
    return "unit" in names or ("degree" in names and bool(names & _TEMPERATURES))


def same_value(found: Measured, wanted: Measured) -> bool:
    """Whether the units allow comparing the values. Words that are no known unit go with the same words, or alone with a plain number."""
    if (found.known or found.unit == wanted.unit) and (wanted.known or wanted.unit == found.unit):
        return same_unit(found.unit, wanted.unit)
    plain = all(read_number(side.value.removesuffix(_DOZEN)) is not None for side in (found, wanted))
    return plain and None in (found.unit, wanted.unit)


def _named(words: str, power: str | None) -> tuple[str, bool]:
    """The unit, and whether all of its words are known."""
    name = _canonical(words, power)
    return name, all(word in _NAMES or word == "/" or word.isdecimal() for word in re.split(r"[ ^]|(?<=/)|(?=/)", name) if word)


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
