r"""The names of units, and products of them under one spelling: `m/s`, `m s-1`, `metres per second` are `meter second^-1`."""

import re

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
    "am": "",
    "pm": "",
    "unit": "",
    "mole": "mol",
    "hertz": "hz",
    "pascal": "pa",
    "coulomb": "",
    "ohm": "omega",
    "yen": "jpy",
    "yuan": "cny rmb",
    "pound sterling": "gbp",
}
_KNOWN = {alias: name for name, aliases in _NAMES.items() for alias in (name, f"{name}s", *aliases.split())}
UNIT_LETTERS = frozenset("mgshlLCFKNVAJW")  # the one-letter names, as they are written
_PRODUCTS = {"mph": "mile/hour", "kph": "kilometer/hour", "kmh": "kilometer/hour", "mps": "meter/second"}
ALIASES = sorted([*(alias for alias in _KNOWN if len(alias) > 1), *_PRODUCTS], key=len, reverse=True)
_SPELLED_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_PIECES = re.compile(r"[a-z][a-z'\-]*[a-z']|[a-z]|(?:\^ ?)?-?[0-9]+|/")


def canonical(words: str, power: str | None = None) -> tuple[str, bool]:
    """The unit that `words` name, raised to `power`, and whether it is known: a product of known units, those with positive powers first.

    Unknown words lose their plural and their case.
    """
    pieces = _PIECES.findall(_abbreviated(re.sub(r"[{}.]", " ", words.lower())))
    factors: dict[str, int] = {}
    name, sign, ahead = None, 1, None
    for piece in pieces:
        if piece in ("/", "per"):
            sign, name = -1, None
        elif piece in _SPELLED_POWERS and piece != pieces[-1]:
            ahead = _SPELLED_POWERS[piece]
        elif piece[0].isalpha():
            name = _single(piece)
            factors[name] = factors.get(name, 0) + sign * (ahead or 1)
            written, sign, ahead = sign * (ahead or 1), 1, None
        elif name is not None:  # the power of the name before
            factors[name] += written * (int(piece.strip("^ ")) - 1)
    if power is not None and name is not None:
        factors[name] += written * (int(power) - 1)
    if not all(factor in _NAMES for factor in factors):
        return " ".join([*map(_single, pieces), *([f"^{power}"] if power else [])]), False
    ordered = sorted(factors.items(), key=lambda factor: (factor[1] < 0, factor[0]))
    return " ".join(factor if exponent == 1 else f"{factor}^{exponent}" for factor, exponent in ordered), True


def is_unit(word: str) -> bool:
    """Whether `word` names a unit, or is a little word between such names."""
    return word.lower() in _KNOWN or word.lower() in ("sq", "cu", "of", "in", "an")


def _abbreviated(words: str) -> str:
    return _PRODUCTS.get(words.strip(), words)


def _single(word: str) -> str:
    return _KNOWN.get(word, word.removesuffix("s") if len(word) > 3 else word)
