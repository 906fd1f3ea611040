"""entropy_groups.png and its tables: a panel per measure, groups from left to right, a colour per decoding strategy."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from ib_lpo.analysis.entropy_groups.measures import MEASURES, Row, difference
from ib_lpo.analysis.figures import pyplot, save

DRAWN = (
    *("first_differs", "shared", "distinct_4", "self_bleu_distance", "distance"),
    *("vendi", "answer_entropy", "accuracy", "tokens", "repetition"),
)
"""Measures that have a panel."""
HEADS = {
    "first_differs": "first",
    "shared": "part",
    "distinct_4": "dist-4",
    "self_bleu_distance": "BLEU",
    "distance": "embed",
    "vendi": "Vendi",
    "answer_entropy": "answer",
    "accuracy": "right",
}
"""Measures that have a column in the table, which fits 80 characters, and its head."""

_COLUMNS = 5
_COLOURS = ("#1f3b57", "#2f6f8f", "#5fa8a0", "#d1495b", "#e08e45", "#8a5fa8", "#5b8c5a", "#5f6b76", "#a0522d", "#111111")
_WIDTH = 0.62  # of a group, shared by its strategies


def draw_groups(rows: Sequence[Row], entropies: Mapping[str, float], caption: str, out: Path) -> None:
    """`entropies`: by group in the order of the axis, its mean at the positions, nats."""
    shown = {(row.measure, row.strategy, row.group): row.estimate for row in rows}
    strategies = list(dict.fromkeys(row.strategy for row in rows))
    height = 3.1 * -(-len(DRAWN) // _COLUMNS) + 1.2
    figure, grid = pyplot().subplots(-(-len(DRAWN) // _COLUMNS), _COLUMNS, figsize=(16, height), layout="constrained")
    for panel, measure in zip(grid.flat, DRAWN, strict=True):
        for x in range(0, len(entropies), 2):
            panel.axvspan(x - 0.5, x + 0.5, color="#f3f4f6", zorder=0)
        for place, strategy in enumerate(strategies):
            _draw(panel, shown, measure, strategy, list(entropies), _WIDTH * ((place + 0.5) / len(strategies) - 0.5), place)
        panel.set_xticks(range(len(entropies)), [f"{group}\n{entropy:.2f} nats" for group, entropy in entropies.items()], fontsize=9)
        panel.set_xlim(-0.5, len(entropies) - 0.5)
        panel.set_title(MEASURES[measure][0], fontsize=10)
        panel.set_ylabel(MEASURES[measure][1], fontsize=9)
        panel.grid(axis="y", alpha=0.3)
        if panel.get_ylim()[1] < 0.1:
            panel.set_ylim(-0.005, 0.1)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(strategies), fontsize=9)
    figure.suptitle(caption, fontsize=10)
    save(figure, out)


def _draw(panel: Any, shown: Mapping, measure: str, strategy: str, groups: list[str], shift: float, place: int) -> None:
    points = [(x + shift, shown[measure, strategy, group]) for x, group in enumerate(groups) if (measure, strategy, group) in shown]
    colour = _COLOURS[place % len(_COLOURS)]
    for x, estimate in points:
        panel.plot([x, x], np.array([estimate.low, estimate.high], dtype=np.float64), color=colour, lw=1.8)
    marker, style = ("D", "--") if strategy.startswith("z,") else ("o", "-")
    panel.plot(
        [x for x, _ in points], [e.mean for _, e in points], style, marker=marker, color=colour, ms=5, lw=0.6, alpha=0.9, label=strategy
    )


def table_of(rows: Sequence[Row], groups: Sequence[str]) -> Table:
    """Means by group and strategy, how far the strategies lie apart in each group, and what groups differ by under each strategy."""
    table = Table(box=SIMPLE_HEAD, padding=0, title_justify="left", caption_justify="left")
    for head in ("entropy", "strategy"):
        table.add_column(head, no_wrap=True)
    for head in HEADS.values():
        table.add_column(head, justify="right", no_wrap=True)
    apart = difference(groups)
    table.title = f"continuations of the same roots, means over roots\n*: the 95 % interval of {escape(apart)} excludes 0"
    table.caption = "; ".join(f"{head}: {MEASURES[name][0]}" for name, head in HEADS.items())
    for group in groups:
        cells = _cells(rows, group)
        for strategy, of in cells.items():
            table.add_row(escape(group), escape(strategy), *(f"{of[name].estimate.mean:.2f}" if name in of else "-" for name in HEADS))
        table.add_row(escape(group), "range", *(_range(cells, name) for name in HEADS), style="bold")
        table.add_section()
    for strategy, of in _cells(rows, apart).items():
        table.add_row(escape(apart), escape(strategy), *(_signed(of[name]) if name in of else "-" for name in HEADS))
    return table


def _cells(rows: Sequence[Row], group: str) -> dict[str, dict[str, Row]]:
    """By strategy, then by measure."""
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.group == group:
            found.setdefault(row.strategy, {})[row.measure] = row
    return found


def _range(cells: dict[str, dict[str, Row]], name: str) -> str:
    means = [of[name].estimate.mean for of in cells.values() if name in of]
    return f"{max(means) - min(means):.2f}" if means else "-"


def _signed(row: Row) -> str:
    return f"{row.estimate.mean:+.2f}" + "*" * row.estimate.excludes_zero
