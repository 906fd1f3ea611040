"""compare.png: a forest plot, a panel per measure that runs can be compared by; values, then paired differences from the first run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from ib_lpo.analysis.compare.measures import Cell, Cells
from ib_lpo.analysis.compare.tables import compared_measures, measures
from ib_lpo.analysis.figures import pyplot, save
from ib_lpo.analysis.runs.colours import colours
from ib_lpo.analysis.runs.intervals import INTERVALS

_COLUMNS = 4
_LEFT_OUT = (
    "held-out accuracy: first",
    "held-out accuracy: best",
    "training accuracy",
    "truncated share: branches",
    "response tokens: branches",
)
Interval = tuple[float, float | None, float | None]


def draw_compare(found: Mapping[str, Cells], steps: tuple[int, int], roots: str, out: Path) -> None:
    """The measures with an interval; `steps`: first and last of those that the trees were read of; `roots`: how many each run samples."""
    colour_of = colours(found)
    panels = [(measure, _values(found, measure), False) for measure in _with_interval(found)]
    panels += [
        (f"{measure}\ndifference from {next(iter(found))}", _differences(found, measure), True)
        for measure in _drawn(compared_measures(found))
        if any(interval[1] is not None for interval, _ in _differences(found, measure).values())
    ]
    rows = max(1, -(-len(panels) // _COLUMNS))
    size = (14, rows * (1.3 + 0.3 * len(found)) + 0.5)
    figure, grid = pyplot().subplots(rows, _COLUMNS, figsize=size, squeeze=False, layout="constrained")
    for panel, (title, intervals, difference) in zip(grid.flat, panels, strict=False):
        _draw(panel, intervals, colour_of)
        panel.set_title("\n".join(fill(line, 36) for line in title.splitlines()), fontsize=9)
        if difference:
            panel.axvline(0, color="black", lw=0.8)
    for panel in grid.flat[len(panels) :]:
        panel.set_axis_off()
    figure.suptitle(
        f"Means and {INTERVALS}; none where all are alike. Training: steps {steps[0]} to {steps[1]}; n: questions, of differences: pairs.\n"
        f"Roots per question: {roots}. Intervals say nothing about other seeds",
        fontsize=9,
    )
    save(figure, out)


def _with_interval(found: Mapping[str, Cells]) -> list[str]:
    """Measures with an interval in two runs, or in the only one."""
    least = min(2, len(found))
    return _drawn([m for m in measures(found) if sum(m in cells and cells[m].low is not None for cells in found.values()) >= least])


def _drawn(names: Sequence[str]) -> list[str]:
    """Without those that say almost the same as another."""
    return [name for name in names if not name.startswith(_LEFT_OUT)]


def _values(found: Mapping[str, Cells], measure: str) -> dict[str, tuple[Interval, int | None]]:
    cells: dict[str, Cell] = {label: of[measure] for label, of in found.items() if measure in of and of[measure].low is not None}
    return {label: ((cell.value, cell.low, cell.high), cell.questions) for label, cell in cells.items()}


def _differences(found: Mapping[str, Cells], measure: str) -> dict[str, tuple[Interval, int | None]]:
    cells = {label: of[measure] for label, of in found.items() if measure in of and of[measure].difference is not None}
    return {label: ((d.mean, d.low, d.high), cell.pairs) for label, cell in cells.items() if (d := cell.difference) is not None}


def _draw(panel: Any, intervals: Mapping[str, tuple[Interval, int | None]], colour_of: dict[str, str]) -> None:
    for row, (label, ((value, low, high), _)) in enumerate(intervals.items()):
        panel.plot([low, high], [row, row], color=colour_of[label], lw=2)
        panel.plot(value, row, "o", color=colour_of[label], ms=5)
    names = [f"{label} (n={count})" if count else label for label, (_, count) in intervals.items()]
    panel.set_yticks(range(len(names)), names, fontsize=8)
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.tick_params(axis="x", labelsize=8)
    panel.locator_params(axis="x", nbins=5)
    panel.grid(axis="x", alpha=0.3)
