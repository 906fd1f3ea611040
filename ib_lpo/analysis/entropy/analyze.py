"""`ib-lpo analyze entropy`: how the token entropies of runs are distributed, early and late, and over their steps (the paper's figure 3).

    <out>/entropy.png         distributions, and the mean over steps
    <out>/entropy.csv         histograms: a row per run, part (all, early, late steps; forks) and bin
    <out>/entropy_steps.csv   a row per run and step

What is pooled: entropy_counts.
"""

from collections.abc import Mapping
from pathlib import Path

from rich import get_console
from rich.markup import escape
from rich.table import Table

from ib_lpo.analysis.entropy.counts import COLUMNS, RunEntropies, histogram_rows, of_step, step_rows
from ib_lpo.analysis.entropy.figure import draw_entropy
from ib_lpo.analysis.figures import write_csv
from ib_lpo.analysis.runs.directories import open_runs, recorded_steps, results_folder, rows_of, unequal
from ib_lpo.errors import UserError
from ib_lpo.progress import say
from ib_lpo.run_directory import RunDirectory


def analyze(paths: list[Path], out: Path | None) -> Path:
    """Figure, table and CSV of the runs; returns the folder. Raises UserError for runs that cannot be read."""
    runs = open_runs(paths)
    steps = {label: recorded_steps(run) for label, run in runs.items()}
    found = {label: _entropies(label, run, steps[label]) for label, run in runs.items()}
    with results_folder(paths, out) as folder:
        write_csv(folder / "entropy.csv", *histogram_rows(found))
        write_csv(folder / "entropy_steps.csv", *step_rows(found))
        draw_entropy(found, folder / "entropy.png")
    if note := unequal(steps):
        say(note)
    get_console().print(_table(found))
    say(f"written to {folder}: entropy.png, entropy.csv, entropy_steps.csv")
    return folder


def _entropies(label: str, run: RunDirectory, steps: list[int]) -> RunEntropies:
    floor = run.manifest.branching.floor
    found = RunEntropies(floor=floor, steps=[of_step(step, rows, floor) for step, rows in rows_of(label, run, steps, COLUMNS)])
    if not any(one.tokens for one in found.steps):
        raise UserError(f"{run.path}: its trees hold no token of any root")
    return found


def _table(runs: Mapping[str, RunEntropies]) -> Table:
    table = Table("run", "steps", "tokens", "mean", "floor", "above", "forks", "at forks", title_justify="left")
    table.columns[0].overflow = "fold"
    table.title = (
        "token entropies of roots, nats; above: share of tokens at or above branching.floor; at forks: mean entropy where branches leave;\n"
        "early and late are a tenth of the steps each"
    )
    for label, run in runs.items():
        for part, pool in run.parts.items():
            forks = f"{pool.forks.mean():.3f}" if pool.forks.size else "-"
            span = f"{part}: {pool.steps[0]}-{pool.steps[1]}"
            row = (f"{pool.tokens:,}", f"{pool.mean:.3f}", f"{run.floor:g}", f"{pool.above_share:.1%}", f"{pool.forks.size:,}", forks)
            table.add_row(escape(label), span, *row)
        table.add_section()
    return table
