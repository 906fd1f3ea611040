r"""Characters beyond ASCII under the LaTeX spelling of what they mean: minus signs, full-width brackets, Greek, sub- and superscripts.

Digits and Latin letters of other alphabets stay as they are: they are no usual spelling, and what they look like is not what they mean.
"""

import re
import unicodedata

_FRACTIONS = {
    "\u00bd": "12",
    "\u00bc": "14",
    "\u00be": "34",
    "\u2153": "13",
    "\u2154": "23",
    "\u2155": "15",
    "\u2156": "25",
    "\u2157": "35",
    "\u2158": "45",
    "\u2159": "16",
    "\u215a": "56",
    "\u215b": "18",
    "\u215c": "38",
    "\u215d": "58",
    "\u215e": "78",
}
_SYMBOLS = {
    "\u00d7\u2a2f": "\\times ",
    "\u00b7\u22c5\u2219\u2022": "\\cdot ",
    "\u00f7\uff0f": "/",
    "\u221e": "\\infty ",
    "\u00b0\u00ba\u02da": "^\\circ ",
    "\u2264\u2a7d\u2266": "\\le ",
    "\u2265\u2a7e\u2267": "\\ge ",
    "\u2260": "\\ne ",
    "\u2248\u2245": "\\approx ",
    "\u2261": "\\equiv ",
    "\u00b1": "\\pm ",
    "\u2213": "\\mp ",
    "\u222a": "\\cup ",
    "\u2229": "\\cap ",
    "\u2205": "\\emptyset ",
    "\u2208": "\\in ",
    "\u2220": "\\angle ",
    "\u25b3": "\\triangle ",
    "\u2192": "\\to ",
    "\u2026\u22ef": "\\ldots ",
    "\u2227": "\\land ",
    "\u2228": "\\lor ",
    "\u211d": "\\mathbb{R}",
    "\u2124": "\\mathbb{Z}",
    "\u2115": "\\mathbb{N}",
    "\u211a": "\\mathbb{Q}",
    "\u2102": "\\mathbb{C}",
    "\u2126": "\\Omega ",
    "\u03d5": "\\phi ",
    "\u00b5": "\\mu ",
    "\u00a2": "\\text{ cents}",
}
_GREEK = [chr(code) for code in range(0x3B1, 0x3CA) if chr(code) != "\u03bf"]  # omicron looks like o
_CAPITALS = "\u0393\u0394\u0398\u039b\u039e\u03a0\u03a3\u03a6\u03a8\u03a9"  # the others look like Latin letters


def _greek_name(letter: str) -> str:
    name = unicodedata.name(letter).rpartition(" ")[2].replace("LAMDA", "LAMBDA")
    return name.lower() if letter.islower() else name.capitalize()


_PLAIN = str.maketrans(
    "\u2212\u2010\u2011\u2012\u2013\u2014\uff0d\ufe63\uff0b\uff1d\uff1c\uff1e\uff08\uff09\uff3b\uff3d\uff0c\u3001\uff1b\uff1a\u2236\uff0e"
    "\u3002\uff5c\u2223\uff01\u2217\uff0a\u2032\u2019",
    "-------" + "-+=<>()[],,;::..||!**''",
)
_OTHER = str.maketrans(
    {character: f"\\frac{{{digits[0]}}}{{{digits[1]}}}" for character, digits in _FRACTIONS.items()}
    | {character: spelling for characters, spelling in _SYMBOLS.items() for character in characters}
    | {letter: f"\\{_greek_name(letter)} " for letter in (*_GREEK, *_CAPITALS)}
    | {"\uff5b": "\\{", "\uff5d": "\\}", "\u27e8": "\\langle ", "\u27e9": "\\rangle ", "\uff05": "\\%", "\u3000": " "}
    | dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", "")  # of no width and no effect on what stands beside them
)
_HIGH = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207a\u207b\u207d\u207e\u207f\u02e3\u2071"
_LOW = "\u2080\u2081\u2082\u2083\u2084\u2085\u2086\u2087\u2088\u2089\u2099"
_SCRIPTS = [
    (re.compile(f"[{characters}]+"), sign, str.maketrans(characters, meaning))
    for sign, characters, meaning in (("^", _HIGH, "0123456789+-()nxi"), ("_", _LOW, "0123456789n"))
]
_ROOT = re.compile(r"\u221a(?:([0-9]+|[A-Za-z])|\(([^()]*)\)|(?=\{))")


def ascii_spelling(text: str) -> str:
    r"""`text` with what stands for a piece of LaTeX replaced by it: `3≤x` by `3\le x`, `√3` by `\sqrt{3}`, `x²` by `x^{2}`."""
    if text.isascii():
        return text
    text = _ROOT.sub(_rooted, text.translate(_PLAIN).translate(_OTHER))
    for pattern, sign, letters in _SCRIPTS:
        text = pattern.sub(lambda match, sign=sign, letters=letters: f"{sign}{{{match[0].translate(letters)}}}", text)
    return text


def _rooted(match: re.Match[str]) -> str:
    return "\\sqrt" if match[0] == "\u221a" else f"\\sqrt{{{match[1] or match[2]}}}"
