"""failures.png: failure modes over steps, their S_IB, reward and length, and where in the response the evidence lies."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ib_lpo.analysis.failures.rows import KINDS, NOT_LOW
from ib_lpo.analysis.failures.summary import PLACES, QUANTILES, Kind
from ib_lpo.analysis.figures import pyplot, save
from ib_lpo.analysis.runs.directories import window_of

_COLOURS = dict(zip(KINDS, ("#c98a1b", "#8a5fa8", "#d1495b", "#5f6b76", "#2f6f8f"), strict=True))
_BARS = {"reward": "mean reward", "response_tokens": "mean response length, tokens", "tokens": "mean own tokens (without the prefix)"}


def draw_failures(kinds: Sequence[Kind], caption: str, below: float, out: Path) -> None:
    """Six panels, a colour per kind."""
    figure, grid = pyplot().subplots(2, 3, figsize=(14, 7.9), layout="constrained")
    _steps(grid[0][0], [kind for kind in kinds if kind.name != NOT_LOW])
    _scores(grid[0][1], kinds, below)
    _evidence(grid[0][2], [kind for kind in kinds if kind.cover is not None])
    for panel, (value, title) in zip(grid[1], _BARS.items(), strict=True):
        _means(panel, kinds, value, title)
    figure.suptitle(caption, fontsize=9)
    save(figure, out)


def _steps(panel: Any, kinds: Sequence[Kind]) -> None:
    for kind in kinds:
        panel.plot(list(kind.steps), [of.mean for of in kind.steps.values()], "o", color=_COLOURS[kind.name], ms=2.5, alpha=0.35)
        panel.plot(list(kind.smooth), list(kind.smooth.values()), color=_COLOURS[kind.name], lw=1.8, label=_title(kind))
    window = max((window_of(kind.steps) for kind in kinds), default=1)
    panel.set_xlabel("step")
    panel.set_ylabel("share of a question's scored trajectories")
    panel.set_ylim(bottom=0)
    panel.set_title(f"failure modes over steps ({f'lines: mean over {window} steps' if window > 1 else 'not smoothed'})", fontsize=10)
    panel.grid(alpha=0.3)
    if kinds:
        panel.legend(fontsize=8)


def _scores(panel: Any, kinds: Sequence[Kind], below: float) -> None:
    names = ("whislo", "q1", "med", "q3", "whishi")
    stats = [dict(zip(names, kind.quantiles, strict=True)) | {"label": f"{_title(kind)}\nn={kind.trajectories:,}"} for kind in kinds]
    boxes = panel.bxp(stats, orientation="horizontal", patch_artist=True, widths=0.6, showfliers=False)
    for kind, box, middle in zip(kinds, boxes["boxes"], boxes["medians"], strict=True):
        box.set(facecolor=_COLOURS[kind.name], alpha=0.6)
        middle.set(color="black")
    panel.tick_params(axis="y", labelsize=8)
    panel.invert_yaxis()
    panel.axvline(below, color="black", lw=0.8, ls=":")
    panel.set_xlabel("S_IB, among siblings")
    panel.set_title(f"S_IB of trajectories (quartiles; {QUANTILES[0]:.0%} to {QUANTILES[-1]:.0%})", fontsize=10)
    panel.grid(axis="x", alpha=0.3)


def _evidence(panel: Any, modes: Sequence[Kind]) -> None:
    for mode in modes:
        panel.plot(PLACES, mode.cover, color=_COLOURS[mode.name], lw=1.8, label=f"{_title(mode)} (questions: {mode.questions})")
    panel.set_xlim(0, 1)
    panel.set_ylim(0, 1.02)
    panel.set_xlabel("place in the response (0: first token, 1: last)")
    panel.set_ylabel("share of the mode's evidence")
    panel.set_title("where the evidence lies", fontsize=10)
    panel.grid(alpha=0.3)
    if modes:
        panel.legend(fontsize=8)


def _means(panel: Any, kinds: Sequence[Kind], value: str, title: str) -> None:
    for row, kind in enumerate(kinds):
        estimate = kind.means[value]
        if estimate is not None:
            panel.barh(row, estimate.mean, color=_COLOURS[kind.name], alpha=0.6, height=0.6)
            panel.plot(np.array([estimate.low, estimate.high], dtype=np.float64), [row, row], color="black", lw=1.4)
            panel.plot(estimate.mean, row, "o", color="black", ms=4, clip_on=False)
    panel.set_yticks(range(len(kinds)), [f"{_title(kind)}\nquestions: {kind.questions}" for kind in kinds], fontsize=8)
    panel.set_ylim(len(kinds) - 0.4, -0.6)
    panel.set_title(title, fontsize=10)
    panel.grid(axis="x", alpha=0.3)


def _title(kind: Kind) -> str:
    return kind.name.replace("_", " ")
