r"""Units of measure after (or, for currencies, before) a value, so that they are compared and not silently dropped.

A value without unit takes the one of the other side: `5` answers `5 cm`. Two units must be the same, by whatever of their names;
nothing is converted, as a question in metres is not answered in kilometres. A word that is not known to be a unit, as in `6 students`,
may be left out of plain numbers alone. A single bare letter is a factor unless a space parts it from a number: `5m` has no unit,
`5\text{m}` and `5 m` have. A modulus is compared like a unit.
"""

import re
from typing import NamedTuple

from ib_lpo.scoring.answers.number_words import NO_UNIT, SCALES
from ib_lpo.scoring.answers.numbers import read_number
from ib_lpo.scoring.answers.unit_names import ALIASES, UNIT_LETTERS, canonical, is_unit

_TEMPERATURES = {"celsius", "fahrenheit", "kelvin"}
_POWER = r"\^\s*\{?\s*(?P<power>-?[1-4])\s*\}?"
_TRAILING = re.compile(
    rf"(?P<value>.*[0-9A-Za-z}})\]!%])(?: ?\\text\{{(?P<text>[^{{}}]*)\}}"
    rf"|(?:(?<![A-Za-z])| )(?P<words>(?:(?:square|cubic|sq|cu)\.? )?(?:{'|'.join(ALIASES)})\b))(?:{_POWER})?",
    re.IGNORECASE | re.DOTALL,
)
_COUNTED = re.compile(
    r"(?P<value>(?:\\frac|[^A-Za-z\\]|\\%)*?[0-9}%]) "
    rf"(?P<words>(?:[A-Za-z]{{2,}}(?:[ /][A-Za-z]+){{0,3}}|[mgshlL](?:/[A-Za-z]+)?))(?:{_POWER})?"
)
_MODULUS = re.compile(
    r"(?P<value>.*[^ (]) ?(?:\\[bp]?mod(?![A-Za-z])|\(\\(?:bmod(?![A-Za-z])|text\{mod\})|(?<= )mod(?![A-Za-z]))"
    r" ?\{?(?P<modulus>[0-9]+)\}?\)?",
    re.DOTALL,
)
_DEGREES = re.compile(r"(?P<value>.*[0-9A-Za-z}\)])\^\\circ ?(?:\\text\{)?(?P<scale>[CFK]?)\}?", re.DOTALL)
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
_SYMBOLS = {"\\$": "dollar", "$": "dollar", "\\pounds": "pound", "\u00a3": "pound", "\u20ac": "euro", "\u00a5": "yen", "\u20b9": "rupee"}
_SYMBOL = r"\\?\$|\\pounds(?![A-Za-z])|[\u00a3\u20ac\u00a5\u20b9]"
_CODE = r"USD|EUR|GBP|JPY|CNY|INR|Rs\.?"
_CURRENCY = re.compile(
    rf"(?P<sign>-?)(?:(?P<symbol>{_SYMBOL})|\\text\{{(?:(?P<fonted>{_SYMBOL})|(?P<code>{_CODE}))\}}|(?P<plain>{_CODE}) ?)"
    r"(?P<value>-?[0-9.].*)",
    re.DOTALL,
)
_PRICED = re.compile(rf"(?P<value>.*[0-9.}}]) ?(?:\\text\{{)?(?P<symbol>{_SYMBOL})\}}?(?P<rest>(?:/|per| |\\text).*)?", re.DOTALL)
_RATE = re.compile(r"(?P<value>.*[0-9}]) ?(?:/ ?(?:\\text\{ ?)?|per |\\text\{ ?(?:per |/ ?))(?P<unit>[A-Za-z][A-Za-z ]*)\}?", re.DOTALL)
_CURRENCIES = {*_SYMBOLS.values(), "cent", "yuan"}
_OHM = re.compile(r"(?P<value>-?[0-9.,]+(?:\\(?:times|cdot)10\^\{?-?[0-9]+\}?)?)\\Omega ?")
_MODULO_ZERO = "modulo 0"
_UNIT = re.compile(r"[A-Za-z][A-Za-z .^{}0-9/\-']*")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"


class Measured(NamedTuple):
    """A value and its unit in canonical spelling; None without."""

    value: str
    unit: str | None
    known: bool = True  # False: any word, which need not be one


def split_unit(text: str) -> Measured:
    """Part a normalised answer into value and unit."""
    if (price := _price(text)) is not None:
        return price
    if _TRIGONOMETRY.search(text):
        return Measured(text, None)  # the unit belongs to the function's argument
    if match := _DEGREES.fullmatch(text):
        return Measured(match["value"], canonical(match["scale"] or "degree")[0])
    if match := _OHM.fullmatch(text):
        return Measured(match["value"], "ohm")
    if match := _MODULUS.fullmatch(text):
        return Measured(match["value"], f"modulo {int(match['modulus'])}")
    match = _COUNTED.fullmatch(text)
    if match is None or read_number(match["value"]) is None:
        match = _TRAILING.fullmatch(text)
    if match is None:
        return Measured(text, None)
    words = (match["words"] or match["text"]).strip()
    scale, value = words.split(" ")[0].lower(), match["value"]
    if scale in SCALES:
        value, words = value + SCALES[scale], words[len(scale) :].strip()
        if not words:
            return Measured(value, None)
    if not _UNIT.fullmatch(words) or NO_UNIT.search(words):
        return Measured(text, None)
    name, known = canonical(words, match["power"])
    if not known and any(map(_is_product, re.findall("[A-Za-z]+", words))):
        return Measured(text, None)
    return Measured(value, name, known)


def _is_product(word: str) -> bool:
    """Whether letters after a number are factors: `4 xy`, `2 abc`, `5 pqr`, and not a word."""
    if len(word) == 1:
        return word not in UNIT_LETTERS | {"a"}
    return (len(word) == 2 or word in _ALPHABET or not set(word.lower()) & set("aeiouy")) and not is_unit(word)


def _price(text: str) -> Measured | None:
    """A value with a currency before or behind it, and what it is paid for."""
    if match := _CURRENCY.fullmatch(text):
        symbol, code, value = match["symbol"] or match["fonted"], match["code"] or match["plain"], match["value"]
        name = canonical(code)[0] if code else _SYMBOLS[symbol]
        rate = _RATE.fullmatch(value)
    elif match := _PRICED.fullmatch(text):
        name, value = _SYMBOLS[match["symbol"]], match["value"]
        rate = _RATE.fullmatch(value + (match["rest"] or ""))
    else:
        return None
    sign = match["sign"] if "sign" in match.re.groupindex else ""
    if rate is None:
        return Measured(sign + split_unit(value).value, name)
    paid, known = canonical(f"{name}/{rate['unit']}")
    return Measured(sign + rate["value"], paid if known else f"{name} / {paid.partition('/')[2].strip()}")


def same_unit(found: str | None, wanted: str | None) -> bool:
    """Whether nothing contradicts: the units are the same, or one side leaves its unit, the scale of its
    degrees, or what a price is paid for, out.

    A modulus of zero is never left out.
    """
    if _MODULO_ZERO in (found, wanted):
        return found == wanted
    if found is None or wanted is None or found == wanted:
        return True
    if any(one in _CURRENCIES and other.startswith(f"{one} ") for one, other in ((found, wanted), (wanted, found))):
        return True
    names = {found.partition("^")[0], wanted.partition("^")[0]}
    return "unit" in names or ("degree" in names and bool(names & _TEMPERATURES))


def same_value(found: Measured, wanted: Measured) -> bool:
    """Whether the units allow comparing the values. Words that are no known unit go with the same words, or alone with a plain number."""
    if (found.known or found.unit == wanted.unit) and (wanted.known or wanted.unit == found.unit):
        return same_unit(found.unit, wanted.unit)
    plain = all(read_number(side.value.removesuffix(SCALES["dozen"])) is not None for side in (found, wanted))
    return plain and None in (found.unit, wanted.unit)
