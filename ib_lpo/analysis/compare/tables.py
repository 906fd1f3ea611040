"""Tables of a comparison: Markdown for a page, rich for a terminal, CSV for whoever wants to look again. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from ib_lpo.analysis.compare.measures import Cell, Cells
from ib_lpo.analysis.markdown import table as table_of
from ib_lpo.analysis.runs.intervals import numbers
from ib_lpo.analysis.runs.intervals import shown as with_interval
from ib_lpo.bootstrap import Estimate

_NONE = "-"


def measures(found: Mapping[str, Cells]) -> list[str]:
    """Of any run, each once, in order."""
    return list(dict.fromkeys(measure for cells in found.values() for measure in cells))


def csv_rows(found: Mapping[str, Cells]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of compare.csv: a row per run and measure; differences are from the first run."""
    header = ["run", "measure", "value", "low", "high", "questions", "difference", "difference_low", "difference_high", "pairs"]
    rows = []
    for label, cells in found.items():
        for measure, cell in cells.items():
            value = numbers(Estimate(mean=cell.value, low=cell.low, high=cell.high))
            rows.append([label, measure, *value, cell.questions or "", *numbers(cell.difference), cell.pairs or ""])
    return header, rows


def markdown(found: Mapping[str, Cells], differing: Mapping[str, Sequence[str]], notes: Sequence[str]) -> str:
    """The page: what the manifests differ in, what was measured, and the paired differences."""
    labels = list(found)
    head = table_of(["key", *labels], [[f"`{key}`", *(f"`{v}`" for v in values)] for key, values in differing.items()])
    parts = [
        "# " + " against ".join(labels),
        "## What differs between the manifests",
        head if differing else "Nothing but their names.",
        "## Measures",
        "Mean [95 % interval] (questions it rests on).",
        table_of(["measure", *labels], [[m, *(_cell(found[label].get(m)) for label in labels)] for m in measures(found)]),
        *notes,
    ]
    if compared := compared_measures(found):
        rows = [[m, *(_difference(found[label].get(m)) for label in labels[1:])] for m in compared]
        said = "Of paired questions, their number in round brackets; bold: 0 lies outside."
        parts += [f"## Difference from {labels[0]}", said, table_of(["measure", *labels[1:]], rows)]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def compared_measures(found: Mapping[str, Cells]) -> list[str]:
    """Those with a paired difference in some run."""
    return [m for m in measures(found) if any(m in cells and cells[m].difference is not None for cells in found.values())]


def shown(found: Mapping[str, Cells]) -> Table:
    """Everything for a terminal."""
    first, *others = found
    table = Table("measure", *map(escape, found), title_justify="left")
    if others:
        table.title = f"mean [95 % interval]; d: difference from {escape(first)} of paired questions, *: its interval excludes 0"
    for measure in measures(found):
        table.add_row(escape(measure), *(_in_terminal(cells.get(measure)) for cells in found.values()))
    return table


def shown_manifests(differing: Mapping[str, Sequence[str]], labels: Sequence[str]) -> Table:
    """What the manifests differ in."""
    table = Table("key", *map(escape, labels), title="what differs between the manifests", title_justify="left")
    for key, values in differing.items():
        table.add_row(escape(key), *map(escape, values))
    return table


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return _NONE
    return with_interval(Estimate(mean=cell.value, low=cell.low, high=cell.high)) + (f" ({cell.questions})" if cell.questions else "")


def _in_terminal(cell: Cell | None) -> str:
    d = None if cell is None else cell.difference
    value = _cell(cell).partition(" (")[0]
    return value if d is None else f"{value}\nd {with_interval(d, '+')}{'*' if d.excludes_zero else ''}"


def _difference(cell: Cell | None) -> str:
    if cell is None or (d := cell.difference) is None:
        return _NONE
    text = with_interval(d, "+")
    return f"{f'**{text}**' if d.excludes_zero else text} ({cell.pairs})"
