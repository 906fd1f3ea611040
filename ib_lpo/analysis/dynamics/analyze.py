"""`ib-lpo analyze dynamics`: accuracy, length, repetition and entropy over the steps of runs (method.md section 0, observation 2).

    <out>/dynamics.png   a panel per measure   dynamics.csv   a row per run, step, measure and group

What the trees hold is averaged over a step's questions, with an interval; what only metrics.jsonl holds (held-out accuracy, benchmarks) is
taken from there.
"""

from collections.abc import Sequence
from pathlib import Path

from rich import get_console
from rich.markup import escape
from rich.table import Table

from ib_lpo.analysis.dynamics.figure import draw_dynamics
from ib_lpo.analysis.dynamics.points import MEASURES, as_rows, in_steps, logged_points, trained_points
from ib_lpo.analysis.figures import write_csv
from ib_lpo.analysis.runs.directories import open_runs, recorded_steps, results_folder, tenth, unequal, window_of
from ib_lpo.analysis.runs.intervals import shown
from ib_lpo.analysis.runs.questions import QuestionMeans, question_means
from ib_lpo.progress import say


def analyze(paths: list[Path], out: Path | None) -> Path:
    """Figure, table and CSV of the runs; returns the folder. Raises UserError for runs that cannot be read."""
    runs = open_runs(paths)
    steps = {label: recorded_steps(run) for label, run in runs.items()}
    window = max(window_of(of_run) for of_run in steps.values())
    points, table = [], _table()
    for label, run in runs.items():
        means = question_means(label, run, steps[label])
        points += trained_points(label, means, window) + logged_points(label, run.metrics(), run.manifest)
        _fill(table, label, means, steps[label])
    with results_folder(paths, out) as folder:
        write_csv(folder / "dynamics.csv", *as_rows(points))
        draw_dynamics(points, window, folder / "dynamics.png")
    if note := unequal(steps):
        say(note)
    get_console().print(table)
    say(f"written to {folder}: dynamics.png, dynamics.csv")
    return folder


def _table() -> Table:
    table = Table("run", "measure", "of", "first tenth", "last tenth", title_justify="left")
    table.title = "mean over the questions of the first and of the last tenth of steps [95 % interval]"
    return table


def _fill(table: Table, label: str, means: Sequence[QuestionMeans], steps: Sequence[int]) -> None:
    count = tenth(steps)
    for measure in MEASURES:
        for group in dict.fromkeys(m.group for m in means):
            ends = (in_steps(means, of, group, measure) for of in (steps[:count], steps[-count:]))
            table.add_row(escape(label), measure, group, *(shown(e) for e in ends))
    table.add_section()
