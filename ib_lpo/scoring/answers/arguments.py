r"""Braces around the arguments that TeX takes without: `\frac\pi5` is `\frac{\pi}{5}`, `\sqrt[3]5` is `\sqrt[3]{5}`.

An argument is a group, a character, or a command, with its own arguments if it takes some. An exponent is braced where it is a
command; one of several digits, `x^10`, is meant as a whole and stays as it is.
"""

import re

_ARGUMENTS = {"frac": 2, "binom": 2, "sqrt": 1}
_CALL = re.compile(r"\\(?P<name>frac|binom|sqrt)(?![A-Za-z])|\^ ?(?=\\(?!circ(?![A-Za-z]))[A-Za-z])")
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[0-9A-Za-z]", re.DOTALL)
_GROUPED = re.compile(r"\\(?:frac|binom|sqrt|text|math|over|bar|vec|hat|operatorname)[a-z]*")
_INDEX = re.compile(r" ?\[[^\[\]]*\]")


def braced(text: str) -> str:
    r"""`text` with braces around the arguments of `\frac`, `\binom`, `\sqrt` and around exponents that are commands.

    The calls are taken from the right, so that what an argument holds is braced before it.
    """
    for match in reversed(list(_CALL.finditer(text))):
        at, spelled = match.end(), match[0].strip()
        if match["name"] == "sqrt" and (index := _INDEX.match(text, at)):
            at, spelled = index.end(), spelled + index[0].strip()
        for _ in range(_ARGUMENTS.get(match["name"], 1)):
            argument, at = _argument(text, at)
            spelled += argument
        text = text[: match.start()] + spelled + text[at:]
    return text


def group_end(text: str, opening: int) -> int | None:
    """Index after the brace that closes the one at `opening`; None where nothing does."""
    depth, at = 0, opening
    while at < len(text):
        if text[at] == "\\":
            at += 1
        else:
            depth += (text[at] == "{") - (text[at] == "}")
            if depth == 0:
                return at + 1
        at += 1
    return None


def _argument(text: str, at: int) -> tuple[str, int]:
    """The next argument in braces, and where it ends; empty where there is none."""
    start = at + (text[at : at + 1] == " ")
    if text[start : start + 1] == "{":
        end = group_end(text, start)
        return ("", at) if end is None else (text[start:end], end)
    token = _TOKEN.match(text, start)
    if token is None:
        return "", at
    end = token.end()
    while _GROUPED.match(token[0]) and text[end : end + 1] == "{" and (closed := group_end(text, end)):
        end = closed
    return f"{{{text[start:end]}}}", end
