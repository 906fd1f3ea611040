"""One colour per run, the same in every figure of an analysis."""

from collections.abc import Iterable
from itertools import cycle

from matplotlib.lines import Line2D

_COLOURS = ("#2f6f8f", "#d1495b", "#5b8c5a", "#8a5fa8", "#c98a1b", "#5f6b76", "#1b9e9e", "#a0522d")


def colours(labels: Iterable[str]) -> dict[str, str]:
    """By label, in order; the ninth run has the first one's again."""
    return dict(zip(dict.fromkeys(labels), cycle(_COLOURS), strict=False))


def legend_lines(colour_of: dict[str, str]) -> list[Line2D]:
    """A line per run."""
    return [Line2D([], [], color=colour, lw=2, label=label) for label, colour in colour_of.items()]
