"""The table of a task: Markdown for a page, CSV with every number; pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ib_lpo.analysis.markdown import table
from ib_lpo.analysis.runs.intervals import numbers, shown
from ib_lpo.bootstrap import Estimate
from ib_lpo.study.compare import Cell, Cells, pairs_of
from ib_lpo.study.failures import Failure
from ib_lpo.study.intervals import FEWEST
from ib_lpo.study.measures import AT_BUDGET
from ib_lpo.study.record import Result

_NONE = "-"
HEADER = ["task", "variant", "measure", "runs", "mean", "low", "high", "pairs", "difference", "difference_low", "difference_high"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResults:
    """All that is known of a task."""

    task: str
    study: str
    baseline: str
    budget: float  # tokens that runs are compared at
    notes: Mapping[str, str]  # by variant of the study, in order
    results: Mapping[str, Sequence[Result]]  # by variant, in the same order
    cells: Cells
    failures: Sequence[Failure]
    missing: Sequence[str]  # runs that have neither a result nor failed
    differing: Mapping[str, Sequence[str]]  # settings that differ between variants


def csv_rows(of: TaskResults) -> list[list[Any]]:
    """A row per variant and measure, for HEADER."""
    return [
        [of.task, variant, measure, cell.runs, *numbers(cell.mean), cell.pairs, *numbers(cell.difference)]
        for variant, cells in of.cells.items()
        for measure, cell in cells.items()
    ]


def markdown(of: TaskResults, figure: str) -> str:
    """The page: figure, table, what its runs are, and which are not there."""
    variants = list(of.notes)
    parts = [
        f"# {of.study}: {of.task}",
        f"![Held-out accuracy over generated tokens and over seconds, and its difference to {of.baseline}]({figure})",
        f"Mean over seeds, and after `Δ` the paired difference to {of.baseline} with its 95 % t interval; bold: 0 lies outside. "
        f"The budget is {of.budget:,.0f} generated tokens. Accuracy there is interpolated between held-out checks; other held-out "
        "measures are those of the last check; training measures are means over steps.",
        table(["", *variants], [*_counts(of), *_rows(of)]),
        *_few(of),
        "\n".join(f"* {_plain(variant)}: {_plain(note)}" for variant, note in of.notes.items() if note),
        *_not_there(of),
        _footer(of),
    ]
    if of.differing:
        rows = [[f"`{key}`", *(f"`{value}`" for value in values)] for key, values in of.differing.items()]
        parts += ["## What differs between the variants", table(["key", *variants], rows)]
    return "\n\n".join(part.rstrip() for part in parts if part) + "\n"


def _counts(of: TaskResults) -> list[list[str]]:
    pairs = pairs_of(of.results, of.baseline)
    runs = ["runs", *(str(len(of.results.get(variant, ()))) for variant in of.notes)]
    return [runs, ["pairs", *(str(pairs[variant]) if variant in pairs else _NONE for variant in of.notes)]]


def _rows(of: TaskResults) -> list[list[str]]:
    measures = dict.fromkeys(measure for cells in of.cells.values() for measure in cells)
    return [[measure, *(_cell(of.cells.get(variant, {}).get(measure)) for variant in of.notes)] for measure in measures]


def _cell(cell: Cell | None) -> str:
    if cell is None or cell.mean is None:
        return _NONE
    value = shown(Estimate(mean=cell.mean.mean, low=None, high=None))
    if cell.difference is None:
        return value
    difference = shown(cell.difference, "+")
    return f"{value} Δ {f'**{difference}**' if cell.difference.excludes_zero else difference}"


def _few(of: TaskResults) -> list[str]:
    """Why intervals are missing, where they are."""
    said = []
    few = [f"{variant} ({count})" for variant, count in pairs_of(of.results, of.baseline).items() if count < FEWEST]
    if few:
        said.append(f"**Fewer than {FEWEST} pairs, so no interval: {', '.join(few)}.** A difference without an interval says nothing.")
    short = {
        variant: len(runs) - (cell.runs if (cell := of.cells.get(variant, {}).get(AT_BUDGET)) else 0)
        for variant, runs in of.results.items()
    }
    if any(short.values()):
        named = ", ".join(f"{variant} ({count})" for variant, count in short.items() if count)
        said.append(f"**Runs without a check at or beyond the budget, which are left out of accuracy: {named}.**")
    return said


def _not_there(of: TaskResults) -> list[str]:
    said = []
    if of.failures:
        said.append("**Failed:**\n\n" + "\n".join(f"* {_plain(failure.told)}" for failure in of.failures))
    if of.missing:
        said.append(f"**Not run yet: {', '.join(of.missing)}.**")
    return said


def _footer(of: TaskResults) -> str:
    results = [result for runs in of.results.values() for result in runs]
    machines = Counter(result.processor for result in results)
    workers = sorted({str(result.workers) for result in results})
    listed = "; ".join(f"{processor}: {count}" for processor, count in machines.items()) or "none"
    said = f"Runs per processor: {listed}. Pairs are of one processor, model seed and run seed."
    return said + (f" Seconds are of training, with {' or '.join(workers)} runs side by side." if results else "")


def _plain(text: str) -> str:
    """Markdown's own signs are shown as they are."""
    return "".join(f"\\{sign}" if sign in "\\`*_<>[]|#" else sign for sign in text)
