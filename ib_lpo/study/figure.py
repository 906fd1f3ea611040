"""Figure of a task: held-out accuracy over tokens and over seconds, and its paired difference to the baseline."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ib_lpo.analysis.figures import pyplot, save
from ib_lpo.analysis.runs.colours import colours, legend_lines
from ib_lpo.bootstrap import Estimate
from ib_lpo.study.compare import partners
from ib_lpo.study.curves import end_of, value_at
from ib_lpo.study.intervals import FEWEST, t_interval
from ib_lpo.study.record import Result
from ib_lpo.study.table import TaskResults

_PLACES = 80  # of a curve
_AXES = {"tokens": "generated tokens", "seconds": "seconds of training"}


def draw(of: TaskResults, out: Path) -> None:
    """Three panels, a line per variant that has results."""
    there = {variant: list(runs) for variant, runs in of.results.items() if runs}
    colour_of = colours(of.notes)
    figure, panels = pyplot().subplots(1, 3, figsize=(15, 4.6), layout="constrained")
    for panel, axis in zip(panels, _AXES, strict=False):
        for variant, runs in there.items():
            _line(panel, *_curve([run.curve for run in runs], axis), colour_of[variant])
        panel.set_title(f"held-out accuracy over {_AXES[axis]}", fontsize=10)
        panel.set_xlabel(_AXES[axis])
    for variant, runs in there.items():
        if variant != of.baseline and (paired := partners(runs, there.get(of.baseline, []))):
            _line(panels[2], *_difference(paired), colour_of[variant])
    panels[2].axhline(0, color="black", lw=0.8)
    panels[2].set_title(f"paired difference to {of.baseline}", fontsize=10)
    panels[2].set_xlabel(_AXES["tokens"])
    for panel in panels:
        panel.grid(alpha=0.3)
    panels[0].axvline(of.budget, color="black", lw=0.8, ls=":")
    figure.legend(handles=legend_lines({variant: colour_of[variant] for variant in there}), loc="outside lower center", ncols=6, fontsize=9)
    counts = ", ".join(f"{variant} {len(runs)}" for variant, runs in there.items()) or "none"
    figure.suptitle(
        f"{of.study}, {of.task}. Lines: means over runs ({counts}); bands: 95 % t intervals over runs, or over pairs; none of fewer "
        f"than {FEWEST}. Dotted: the budget",
        fontsize=9,
    )
    save(figure, out)


def _curve(curves: Sequence[Sequence[Any]], axis: str) -> tuple[np.ndarray, list[Estimate | None]]:
    """Up to where the first of the runs ends."""
    places = np.linspace(0.0, min(end_of(curve, axis) for curve in curves), _PLACES)
    return places, _estimates(places, [lambda at, curve=curve: value_at(curve, at, axis=axis) for curve in curves])


def _difference(paired: Sequence[tuple[Result, Result]]) -> tuple[np.ndarray, list[Estimate | None]]:
    def of(pair: tuple[Result, Result]) -> Callable[[float], float | None]:
        def at(place: float) -> float | None:
            mine, base = (value_at(run.curve, place) for run in pair)
            return None if mine is None or base is None else mine - base

        return at

    places = np.linspace(0.0, min(end_of(run.curve) for pair in paired for run in pair), _PLACES)
    return places, _estimates(places, [of(pair) for pair in paired])


def _estimates(places: np.ndarray, of: Sequence[Callable[[float], float | None]]) -> list[Estimate | None]:
    return [t_interval([value for one in of if (value := one(float(place))) is not None]) for place in places]


def _line(panel: Any, places: np.ndarray, estimates: Sequence[Estimate | None], colour: str) -> None:
    known = [(place, estimate) for place, estimate in zip(places, estimates, strict=True) if estimate is not None]
    panel.plot([place for place, _ in known], [estimate.mean for _, estimate in known], color=colour, lw=1.8)
    banded = [(place, estimate.low, estimate.high) for place, estimate in known if estimate.low is not None]
    if banded:
        x, low, high = (np.array(column, dtype=np.float64) for column in zip(*banded, strict=True))
        panel.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
