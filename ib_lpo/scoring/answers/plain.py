r"""Mathematics written without LaTeX: `7pi`, `cos(t)`, `sqrt(2)/2`, `+/-6`, `x >= 2`, `(-inf, 3)`; and functions in a font, `\mathrm{ln}5`.

A name counts where no letter stands beside it: `pi` in `7pi`, not in `pint`. A function that is also a unit, or a word, needs a bracket.
"""

import re

_FUNCTIONS = "arcsin|arccos|arctan|arccot|arcsec|arccsc|arsinh|arcosh|arctanh|sinh|cosh|tanh|sin|cos|tan|cot|csc|log|ln|lg|exp|gcd|lcm"
_BRACKETED = "sec|min|max|deg|floor|ceil"  # also second, minute, degree
_OTHER_NAMES = {  # what others call them
    "arctg": "arctan",
    "arcctg": "arccot",
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "ctg": "cot",
    "cotg": "cot",
    "tg": "tan",
    "cosec": "csc",
    "sh": "sinh",
    "ch": "cosh",
    "th": "tanh",
}
_GREEK = (
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|upsilon|phi|chi|psi|omega"
    "|Gamma|Delta|Theta|Lambda|Sigma|Phi|Psi|Omega"
)
_CALLED = "|".join([_FUNCTIONS, *_OTHER_NAMES])
_FONT = re.compile(rf"\\(?:text|mathrm|operatorname|mathop|rm)\*? ?\{{ ?({_CALLED}|{_BRACKETED}) ?\}}")
_UNTEXTED = re.compile(r"\\text\{[^{}]*\}|\\(?:begin|end)\{[^{}]*\}|\\[A-Za-z]+")  # what is not plain
_NAMES = [
    (re.compile(rf"(?<![A-Za-z\\])(?:{_CALLED})(?=[(^_\\{{ 0-9]|[xyt](?![A-Za-z]))"), lambda match: _named(match[0])),
    (re.compile(rf"(?<![A-Za-z\\])(?:{_BRACKETED})(?=\()"), lambda match: _named(match[0])),
    (re.compile(rf"(?<![A-Za-z\\])(?:{_GREEK})(?![A-Za-z])"), lambda match: f"\\{match[0]} "),
    (re.compile(r"(?<![A-Za-z\\])(?:infinity|infty|inf|oo)(?![A-Za-z])"), lambda match: r"\infty "),
    (re.compile(r"(?<=[)\]]) ?U ?(?=[(\[])"), lambda match: r"\cup "),
]
_ALIASES = re.compile(r"\\(tg|ctg|cotg|cosec|arctg|arcctg|sh|ch|th|lg)(?![A-Za-z])")
_SIGNS = [
    (re.compile(r"\+ ?/ ?-|\+ ?- ?(?=[0-9A-Za-z\\(.])"), r"\\pm "),
    (re.compile(r"(?<!\\)<="), r"\\le "),
    (re.compile(r"(?<!\\)>="), r"\\ge "),
    (re.compile(r"(?<= )!= ?(?!=)|/="), r"\\ne "),
    (re.compile(r"\*\*"), "^"),
]
_GROUPED = re.compile(r"(?<![A-Za-z\\])\\?(sqrt|cbrt|abs)(?=\()|\^(?=\()")
_BARE_ROOT = re.compile(r"(?<![A-Za-z\\])sqrt ?(?=[0-9A-Za-z\\{\[])")


def latex_of(text: str) -> str:
    r"""`text` with the plain names and signs in it spelled in LaTeX. What stands in `\text{...}` stays."""
    text = _FONT.sub(lambda match: _named(match[1]), text)
    text = _ALIASES.sub(lambda match: _named(match[1]), text)
    for pattern, spelling in _SIGNS:
        text = pattern.sub(spelling, text)
    text = _BARE_ROOT.sub(r"\\sqrt ", _grouped(text))
    pieces, at = [], 0
    for kept in _UNTEXTED.finditer(text):
        pieces += [_named_in(text[at : kept.start()], text[kept.start()]), kept[0]]
        at = kept.end()
    return "".join(pieces) + _named_in(text[at:], "")


def _named_in(text: str, after: str) -> str:
    text += after
    for pattern, spelling in _NAMES:
        text = pattern.sub(spelling, text)
    return text.removesuffix(after) if after else text


def _named(name: str) -> str:
    name = _OTHER_NAMES.get(name, name)
    return "\\log_{10}" if name == "lg" else f"\\{name} "


def _grouped(text: str) -> str:
    """`sqrt(...)` and `^(...)` with braces, `abs(...)` with bars; taken from the right, so that inner ones come first."""
    for match in reversed(list(_GROUPED.finditer(text))):
        end = _bracket_end(text, match.end())
        if end is None:
            continue
        inner, name = text[match.end() + 1 : end - 1], match[1]
        spelled = {"sqrt": f"\\sqrt{{{inner}}}", "cbrt": f"\\sqrt[3]{{{inner}}}", "abs": f"|{inner}|"}.get(name, f"^{{{inner}}}")
        text = text[: match.start()] + spelled + text[end:]
    return text


def _bracket_end(text: str, opening: int) -> int | None:
    depth = 0
    for at in range(opening, len(text)):
        depth += (text[at] == "(") - (text[at] == ")")
        if depth == 0:
            return at + 1
    return None
