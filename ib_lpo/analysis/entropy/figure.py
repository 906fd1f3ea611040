"""entropy.png: distributions of token entropies, late against early and run against run, over steps, and at forks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from ib_lpo.analysis.entropy.counts import EDGES, RunEntropies, count
from ib_lpo.analysis.figures import pyplot, save
from ib_lpo.analysis.runs.colours import colours, legend_lines
from ib_lpo.analysis.runs.directories import smoothed, window_of
from ib_lpo.analysis.runs.intervals import INTERVALS

_LEFT = EDGES[1] ** 2 / EDGES[2]  # the first bin, open downwards, is drawn as wide as the others
_DRAWN = np.concatenate([[_LEFT], EDGES[1:]])


def draw_entropy(runs: Mapping[str, RunEntropies], out: Path) -> None:
    """Four panels, a colour per run."""
    colour_of = colours(runs)
    figure, grid = pyplot().subplots(2, 2, figsize=(12, 8.2), layout="constrained")
    for panel, draw in zip(grid.flat, (_histograms, _exceeding, _steps, _forks), strict=True):
        draw(panel, runs, colour_of)
        panel.grid(alpha=0.3)
    styles = [Line2D([], [], color="#444444", ls=ls, label=part) for part, ls in (("late steps", "-"), ("early steps", "--"))]
    figure.legend(handles=legend_lines(colour_of) + styles, loc="outside lower center", ncols=6, fontsize=9)
    figure.suptitle(_caption(runs), fontsize=9)
    save(figure, out)


def _histograms(panel: Any, runs: Mapping[str, RunEntropies], colour_of: dict[str, str]) -> None:
    for label, run in runs.items():
        for part, style in (("early", "--"), ("late", "-")):
            panel.stairs(run.parts[part].shares, _DRAWN, color=colour_of[label], ls=style, lw=1.6, alpha=0.65 if part == "early" else 1.0)
    _entropy_axis(panel)
    panel.set_ylabel("share of tokens per bin")
    panel.set_title("distribution of token entropies (first bin: all below 1e-4)", fontsize=10)


def _exceeding(panel: Any, runs: Mapping[str, RunEntropies], colour_of: dict[str, str]) -> None:
    for label, run in runs.items():
        for part, style in (("early", "--"), ("late", "-")):
            alpha = 0.65 if part == "early" else 1.0
            panel.plot(EDGES[1:], run.parts[part].exceeding[1:], style, color=colour_of[label], lw=1.6, alpha=alpha)
    floors = sorted({run.floor for run in runs.values()})
    for floor in floors:
        panel.axvline(floor, color="#444444", lw=1, ls=":")
    _entropy_axis(panel)
    panel.set_ylabel("share of tokens")
    panel.set_ylim(bottom=0)
    named = ", ".join(f"{floor:g}" for floor in floors)
    panel.set_title(f"share of tokens of at least this entropy (dotted: branching.floor {named})", fontsize=10)


def _steps(panel: Any, runs: Mapping[str, RunEntropies], colour_of: dict[str, str]) -> None:
    for label, run in runs.items():
        estimates = {one.step: one.over_questions for one in run.steps}
        known = {step: e for step, e in estimates.items() if e is not None}
        smooth = smoothed({step: e.mean for step, e in known.items()}, window_of(known))
        steps, colour = list(known), colour_of[label]
        panel.plot(steps, list(smooth.values()), color=colour, lw=1.8)
        panel.plot(steps, [e.mean for e in known.values()], "o", color=colour, ms=2.5, alpha=0.35)
        low, high = (np.array([getattr(e, end) for e in known.values()], dtype=np.float64) for end in ("low", "high"))
        panel.fill_between(steps, low, high, color=colour, alpha=0.1, lw=0)
    panel.set_xlabel("step")
    panel.set_ylabel("mean token entropy, nats")
    panel.set_ylim(bottom=0)
    panel.set_title("mean over a step's questions, with intervals", fontsize=10)


def _forks(panel: Any, runs: Mapping[str, RunEntropies], colour_of: dict[str, str]) -> None:
    for label, run in runs.items():
        pool = run.parts["all"]
        panel.stairs(pool.shares, _DRAWN, color=colour_of[label], lw=1.0, alpha=0.8)
        if pool.forks.size:
            panel.stairs(count(pool.forks) / pool.forks.size, _DRAWN, color=colour_of[label], fill=True, alpha=0.35)
    _entropy_axis(panel)
    panel.set_ylabel("share per bin")
    panel.set_title("entropy where branches leave (filled) and of all root tokens (line), all steps", fontsize=10)


def _entropy_axis(panel: Any) -> None:
    panel.set_xscale("log")
    panel.set_xlim(_LEFT, EDGES[-1])
    panel.set_xlabel("entropy, nats")


def _caption(runs: Mapping[str, RunEntropies]) -> str:
    counts = [f"{label}: {_counts(run)}" for label, run in runs.items()]
    head = "Tokens of roots only; early and late are a tenth of the steps each, and need not be of the same questions."
    return "\n".join([head, *counts, f"Bands: {INTERVALS}"])


def _counts(run: RunEntropies) -> str:
    parts = [f"{part} {pool.tokens:,} tokens of {pool.questions} questions" for part, pool in run.parts.items()]
    return f"{', '.join(parts)} ({len(run.steps)} steps); {run.parts['all'].forks.size:,} forks"
