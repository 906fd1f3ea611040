"""What every figure of the analyses needs: its data as CSV beside it, and matplotlib without a display."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def write_csv(out: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table."""
    with out.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)


def pyplot() -> Any:
    """matplotlib's, drawing to files."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def save(figure: Any, out: Path) -> None:
    """Write a figure as PNG and close it."""
    figure.savefig(out, dpi=110)
    pyplot().close(figure)
