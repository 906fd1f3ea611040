r"""Environments that put things under each other: systems, lists of solutions, pieces of a function.

`cases`, `aligned` and the like become a list of their rows, in brackets where something stands beside them; a row that begins with its
equality sign goes on with the one before. A row of a value and a condition becomes the pair of both. Matrices stay.
"""

import re

from ib_lpo.scoring.answers.equations import RELATION

_NAMES = r"[dr]?cases|align(?:ed|at|edat)?\*?|gather(?:ed)?\*?|split|eqnarray\*?|multline\*?"
_ROWS = re.compile(
    rf"(?P<brace>\\\{{ ?|\\lbrace ?)?\\begin ?\{{(?P<name>{_NAMES}|array)\}} ?(?:\{{[lcr| ]*\}}|\[[tbc]\])? ?"
    r"(?P<body>(?:(?!\\(?:begin|end)(?![A-Za-z])).)*)\\end ?\{(?P=name)\}",
    re.DOTALL,
)
_BREAK = re.compile(r"\\\\(?: ?\[[^\[\]]*\])?")
_IF = re.compile(r"^(?:\\text\{ ?)?(?:if|for|when|where)(?![A-Za-z])(?: ?\}| (?=[^{}]*\}))?|^\\text\{ ?\}", re.IGNORECASE)


def unstacked(text: str) -> str:
    """`text` with its rows in a line."""
    if "\\begin" not in text:
        return text
    return _ROWS.sub(lambda match: _in_line(match, alone=len(match[0]) == len(text.strip())), text)


def _in_line(match: re.Match[str], *, alone: bool) -> str:
    rows = [row.strip(" ,;.") for row in _BREAK.split(match["body"])]
    rows = [row for row in rows if row]
    if match["name"] == "array" and not match["brace"] and not all("=" in row for row in rows):
        return match[0]
    lines: list[str] = []
    for row in rows:
        line = _line(row, pieces="cases" in match["name"] or match["brace"] is not None)
        if line.startswith("=") and lines:
            lines[-1] += line
        else:
            lines.append(line)
    listed = ", ".join(lines)
    return listed if alone or len(lines) < 2 else f"({listed})"


def _line(row: str, *, pieces: bool) -> str:
    cells = [cell.strip(" ,") for cell in row.split("&")]
    if pieces and len(cells) == 2 and cells[0] and not cells[1].startswith("=") and not RELATION.match(cells[1]):
        condition = _IF.sub(lambda found: "\\text{" if found[0].endswith(" ") and "{" in found[0] else "", cells[1]).strip()
        return f"({cells[0]}, {condition})"
    return "".join(cells)
