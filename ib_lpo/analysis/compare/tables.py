"""Tables of a comparison: Markdown for a page, rich for a terminal, CSV for whoever wants to look again. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from ib_lpo.analysis.bootstrap import Estimate
from ib_lpo.analysis.compare.measures import Cell, Cells

_NONE = "-"


def measures(found: Mapping[str, Cells]) -> list[str]:
    """Of any run, each once, in order."""
    return list(dict.fromkeys(measure for cells in found.values() for measure in cells))


def csv_rows(found: Mapping[str, Cells]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of compare.csv: a row per run and measure; differences are from the first run."""
    header = ["run", "measure", "value", "low", "high", "questions", "difference", "difference_low", "difference_high"]
    rows = []
    for label, cells in found.items():
        for measure, cell in cells.items():
            d = cell.difference
            numbers = [cell.value, cell.low, cell.high], [d.mean, d.low, d.high] if d else [None] * 3
            value, difference = (["" if n is None else f"{n:.6g}" for n in of] for of in numbers)
            rows.append([label, measure, *value, cell.questions or "", *difference])
    return header, rows


def markdown(found: Mapping[str, Cells], differing: Mapping[str, Sequence[str]], notes: Sequence[str]) -> str:
    """The page: what the manifests differ in, what was measured, and the paired differences."""
    labels = list(found)
    head = _rows(["key", *labels], [[f"`{key}`", *(f"`{v}`" for v in values)] for key, values in differing.items()])
    parts = [
        "# " + " against ".join(labels),
        "## What differs between the manifests",
        head if differing else "Nothing but their names.",
        "## Measures",
        "Mean [95 % interval] (questions it rests on).",
        _rows(["measure", *labels], [[m, *(_cell(found[label].get(m)) for label in labels)] for m in measures(found)]),
        *notes,
    ]
    if compared := compared_measures(found):
        rows = [[m, *(_difference(found[label].get(m)) for label in labels[1:])] for m in compared]
        parts += [f"## Difference from {labels[0]}", "Of paired questions; bold: 0 lies outside.", _rows(["measure", *labels[1:]], rows)]
    return "\n\n".join(parts) + "\n"


def compared_measures(found: Mapping[str, Cells]) -> list[str]:
    """Those with a paired difference in some run."""
    return [m for m in measures(found) if any(m in cells and cells[m].difference is not None for cells in found.values())]


def shown(found: Mapping[str, Cells]) -> Table:
    """Everything for a terminal."""
    first, *others = found
    table = Table("measure", *found, title_justify="left")
    table.title = f"mean [95 % interval]; d: difference from {first} of paired questions, *: its interval excludes 0" if others else None
    for measure in measures(found):
        table.add_row(measure, *(_in_terminal(cells.get(measure)) for cells in found.values()))
    return table


def shown_manifests(differing: Mapping[str, Sequence[str]], labels: Sequence[str]) -> Table:
    """What the manifests differ in."""
    table = Table("key", *labels, title="what differs between the manifests", title_justify="left")
    for key, values in differing.items():
        table.add_row(key, *values)
    return table


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _interval(mean: float, low: float, high: float, form: str = "") -> str:
    return (
        f"{mean:{form}.3g} [{low:{form}.3g}, {high:{form}.3g}]"
        if abs(mean) < 1000
        else f"{mean:{form},.0f} [{low:{form},.0f}, {high:{form},.0f}]"
    )


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return _NONE
    if cell.low is None or cell.high is None:
        return _number(cell.value)
    return _interval(cell.value, cell.low, cell.high) + (f" ({cell.questions})" if cell.questions else "")


def _in_terminal(cell: Cell | None) -> str:
    d = None if cell is None else cell.difference
    value = _cell(cell).partition(" (")[0]
    return value if d is None else f"{value}\nd {_interval(d.mean, d.low, d.high, '+')}{'*' if d.excludes_zero else ''}"


def _difference(cell: Cell | None) -> str:
    d: Estimate | None = None if cell is None else cell.difference
    if d is None:
        return _NONE
    text = _interval(d.mean, d.low, d.high, "+")
    return f"**{text}**" if d.excludes_zero else text


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a bar inside a cell is escaped."""
    lines = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in (head, *rows)]
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))
