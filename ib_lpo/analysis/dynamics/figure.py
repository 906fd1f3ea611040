"""dynamics.png: a panel per measure, a colour per run; roots drawn through, branches dashed."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from ib_lpo.analysis.dynamics.points import HELD_OUT, MEASURES, Point
from ib_lpo.analysis.figures import pyplot, save
from ib_lpo.analysis.runs.colours import colours, legend_lines
from ib_lpo.analysis.runs.intervals import INTERVALS
from ib_lpo.analysis.runs.questions import GROUPS

_COLUMNS = 3
_STYLES = {"roots": "-", "branches": "--"}
_BENCHMARK_MEASURES = ("avg", "tokens")


def draw_dynamics(points: Sequence[Point], window: int, out: Path) -> None:
    """The points of every measure that was measured."""
    colour_of = colours(point.run for point in points)
    panels = _panels(points)
    rows = -(-len(panels) // _COLUMNS)
    figure, grid = pyplot().subplots(rows, _COLUMNS, figsize=(13, 3.1 * rows + 1.1), squeeze=False, layout="constrained")
    for panel, (title, shown) in zip(grid.flat, panels.items(), strict=False):
        _draw(panel, shown, colour_of)
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("step")
        panel.grid(alpha=0.3)
    for panel in grid.flat[len(panels) :]:
        panel.set_axis_off()
    groups = [
        Line2D([], [], color="#444444", ls=_STYLES[group], label=group)
        for group in dict.fromkeys(p.group for p in points if p.group in GROUPS)
    ]
    figure.legend(handles=legend_lines(colour_of) + groups, loc="outside lower center", ncols=6, fontsize=9)
    figure.suptitle(_caption(points, window), fontsize=9)
    save(figure, out)


def _panels(points: Sequence[Point]) -> dict[str, list[Point]]:
    """By title, those with points only."""
    panels = {title: [p for p in points if p.measure == measure and p.group in GROUPS] for measure, title in MEASURES.items()}
    panels |= {"held-out accuracy": [p for p in points if p.group == HELD_OUT]}
    for benchmark in sorted({p.group for p in points} - {HELD_OUT, *GROUPS}):
        for measure in _BENCHMARK_MEASURES:
            panels[f"{benchmark}: {measure}"] = [p for p in points if p.group == benchmark and p.measure == measure]
    return {title: shown for title, shown in panels.items() if shown}


def _draw(panel: Any, points: Sequence[Point], colour_of: dict[str, str]) -> None:
    for (run, group), of in groupby(sorted(points, key=lambda p: (p.run, p.group, p.step)), key=lambda p: (p.run, p.group)):
        line = list(of)
        steps, colour = [p.step for p in line], colour_of[run]
        panel.plot(steps, [p.smooth for p in line], _STYLES.get(group, "-"), color=colour, lw=1.8)
        panel.plot(steps, [p.value for p in line], "o", color=colour, ms=2.5, alpha=0.35 if group in GROUPS else 1.0)
        if group != "branches":
            low, high = (np.array(ends, dtype=np.float64) for ends in zip(*((p.low, p.high) for p in line), strict=True))
            panel.fill_between(steps, low, high, color=colour, alpha=0.10, lw=0)
            panel.vlines(steps, low, high, color=colour, alpha=0.15, lw=1)


def _caption(points: Sequence[Point], window: int) -> str:
    """What is drawn, and of how many questions."""
    questions = _range([p.questions for p in points if p.group == "roots"])
    lines = f"lines: mean over {window} steps" if window > 1 else "lines are not smoothed"
    roots = " of roots" if any(p.group == "branches" for p in points) else ""
    text = f"Points: single steps, {questions} questions each; {lines}.\nBands of single steps{roots}: {INTERVALS}"
    held_out = [p.questions for p in points if p.group == HELD_OUT]
    return text + (f".\nHeld-out: {_range(held_out)} questions, Wilson intervals, not smoothed" if held_out else "")


def _range(counts: Sequence[int | None]) -> str:
    known = [count for count in counts if count]
    return str(known[0]) if min(known) == max(known) else f"{min(known)} to {max(known)}"
