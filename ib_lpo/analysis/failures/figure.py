"""failures.png: failure modes over steps, their S_IB, reward and length, and where in the response the evidence lies."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ib_lpo.analysis.failures.rows import KINDS, NOT_LOW, Scored, by_question, evidence_cover, shares
from ib_lpo.analysis.figures import pyplot, save
from ib_lpo.analysis.runs.directories import smoothed, window_of
from ib_lpo.tree import FailureMode

_COLOURS = dict(zip(KINDS, ("#c98a1b", "#8a5fa8", "#d1495b", "#5f6b76", "#2f6f8f"), strict=True))
_PLACES = np.linspace(0.0, 1.0, 101)[:-1]


def draw_failures(everyone: Sequence[Scored], label: str, below: float, out: Path) -> None:
    """Six panels, a colour per kind; kinds that do not occur are left out."""
    kinds = [kind for kind in KINDS if any(kind in one.kinds for one in everyone)]
    figure, grid = pyplot().subplots(2, 3, figsize=(14, 7.6), layout="constrained")
    _steps(grid[0][0], everyone, [kind for kind in kinds if kind != NOT_LOW])
    _scores(grid[0][1], everyone, kinds, below)
    _evidence(grid[0][2], everyone, [kind for kind in kinds if kind in list(FailureMode)])
    for panel, (value, title) in zip(grid[1], _BARS.items(), strict=True):
        _means(panel, everyone, kinds, value, title)
    low = sum(one.low for one in everyone)
    figure.suptitle(
        f"{label}: {low:,} of {len(everyone):,} scored trajectories are low (S_IB < {below:g}); one that shows two modes counts for both.\n"
        "Bars: mean with 95 % bootstrap interval over questions; n: trajectories",
        fontsize=9,
    )
    save(figure, out)


_BARS = {"reward": "mean reward", "response_tokens": "mean response length, tokens", "tokens": "mean own tokens (without the prefix)"}


def _steps(panel: Any, everyone: Sequence[Scored], kinds: Sequence[str]) -> None:
    window = 1
    for kind in kinds:
        values = shares(everyone, kind)
        window = window_of(values)
        panel.plot(list(values), list(values.values()), "o", color=_COLOURS[kind], ms=2.5, alpha=0.35)
        panel.plot(list(values), list(smoothed(values, window).values()), color=_COLOURS[kind], lw=1.8, label=_name(kind))
    panel.set_xlabel("step")
    panel.set_ylabel("share of scored trajectories")
    panel.set_ylim(bottom=0)
    panel.set_title(f"failure modes over steps (lines: mean over {window} steps)", fontsize=10)
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)


def _scores(panel: Any, everyone: Sequence[Scored], kinds: Sequence[str], below: float) -> None:
    values = [[one.ib.score for one in everyone if kind in one.kinds] for kind in kinds]
    boxes = panel.boxplot(values, orientation="horizontal", patch_artist=True, widths=0.6, flierprops={"ms": 2, "alpha": 0.4})
    for kind, box, middle in zip(kinds, boxes["boxes"], boxes["medians"], strict=True):
        box.set(facecolor=_COLOURS[kind], alpha=0.6)
        middle.set(color="black")
    panel.set_yticks(
        range(1, len(kinds) + 1), [f"{_name(kind)}\nn={len(of):,}" for kind, of in zip(kinds, values, strict=True)], fontsize=8
    )
    panel.invert_yaxis()
    panel.axvline(below, color="black", lw=0.8, ls=":")
    panel.set_xlabel("S_IB, among siblings")
    panel.set_title("S_IB by kind (box: quartiles)", fontsize=10)
    panel.grid(axis="x", alpha=0.3)


def _evidence(panel: Any, everyone: Sequence[Scored], modes: Sequence[str]) -> None:
    for mode in modes:
        panel.plot(_PLACES, evidence_cover(everyone, mode, _PLACES), color=_COLOURS[mode], lw=1.8, label=_name(mode))
    panel.set_xlim(0, 1)
    panel.set_ylim(0, 1.02)
    panel.set_xlabel("place in the response (0: first token, 1: last)")
    panel.set_ylabel("share of the mode's trajectories")
    panel.set_title("where the evidence lies", fontsize=10)
    panel.grid(alpha=0.3)
    if modes:
        panel.legend(fontsize=8)


def _means(panel: Any, everyone: Sequence[Scored], kinds: Sequence[str], value: str, title: str) -> None:
    for row, kind in enumerate(kinds):
        estimate = by_question(everyone, kind, value)
        if estimate is not None:
            panel.barh(row, estimate.mean, color=_COLOURS[kind], alpha=0.6, height=0.6)
            panel.plot([estimate.low, estimate.high], [row, row], color="black", lw=1.4)
            panel.plot(estimate.mean, row, "o", color="black", ms=4, clip_on=False)
    panel.set_yticks(range(len(kinds)), [_name(kind) for kind in kinds], fontsize=8)
    panel.set_ylim(len(kinds) - 0.4, -0.6)
    panel.set_title(title, fontsize=10)
    panel.grid(axis="x", alpha=0.3)


def _name(kind: str) -> str:
    return kind.replace("_", " ")
