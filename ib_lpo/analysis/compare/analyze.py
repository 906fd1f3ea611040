"""`ib-lpo analyze compare`: several runs in one table, with intervals, and what their manifests differ in.

    <out>/compare.md   compare.csv   compare.png   the page, its numbers, and a forest plot

Benchmarks of `ib-lpo eval` are read from <run>-eval/results.json beside a run, where there is one.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from rich import get_console

from ib_lpo.analysis.compare.figure import draw_compare
from ib_lpo.analysis.compare.manifests import differing
from ib_lpo.analysis.compare.measures import (
    Cells,
    Units,
    cells_of,
    evaluated_cells,
    failure_units,
    held_out_cells,
    logged_cells,
    trained_units,
)
from ib_lpo.analysis.compare.tables import csv_rows, markdown, shown, shown_manifests
from ib_lpo.analysis.failures.rows import COLUMNS as SCORED_COLUMNS
from ib_lpo.analysis.failures.rows import compared, scored
from ib_lpo.analysis.figures import write_csv
from ib_lpo.analysis.runs.directories import Runs, open_runs, recorded_steps, results_folder, rows_of, tenth, unequal
from ib_lpo.analysis.runs.intervals import FEW
from ib_lpo.analysis.runs.questions import question_means
from ib_lpo.errors import UserError
from ib_lpo.progress import say
from ib_lpo.run_directory import RunDirectory


def analyze(paths: list[Path], out: Path | None) -> Path:
    """Page, table, figure and CSV of the runs; returns the folder. Raises UserError for runs that cannot be read."""
    runs = open_runs(paths)
    steps = {label: recorded_steps(run) for label, run in runs.items()}
    common = _common(steps)
    final = common[-tenth(common) :]
    units = {label: _units(label, run, final) for label, run in runs.items()}
    first = next(iter(units))
    found = {label: _cells(run, common[-1], units[label], None if label == first else units[first]) for label, run in runs.items()}
    notes = [*_notes(steps, common, final, found), f"Roots per question: {_roots(runs)}."]
    different = differing({label: run.manifest.model_dump(mode="json") for label, run in runs.items()})
    with results_folder(paths, out) as folder:
        write_csv(folder / "compare.csv", *csv_rows(found))
        (folder / "compare.md").write_text(markdown(found, different, notes), encoding="utf-8")
        draw_compare(found, (final[0], final[-1]), _roots(runs), folder / "compare.png")
    _print(runs, found, different, notes)
    say(f"written to {folder}: compare.md, compare.csv, compare.png")
    return folder


def _common(steps: dict[str, list[int]]) -> list[int]:
    """Steps that all runs have."""
    common = sorted(set.intersection(*map(set, steps.values())))
    if not common:
        spans = ", ".join(f"{label} has {of[0]} to {of[-1]}" for label, of in steps.items())
        raise UserError(f"the runs have no step with trees in common: {spans}; compare runs whose trees are on disk for the same steps")
    return common


def _units(label: str, run: RunDirectory, steps: Sequence[int]) -> dict[str, Units]:
    trained = trained_units(question_means(label, run, steps))
    if run.manifest.ib.estimator == "none":
        return trained
    below = run.manifest.ib.failures.below
    return trained | failure_units(
        compared([one for step, rows in rows_of(label, run, steps, SCORED_COLUMNS) for one in scored(step, rows, below)])
    )


def _roots(runs: Runs) -> str:
    """A question's mean is the noisier, the fewer roots it is of."""
    return ", ".join(f"{label} {run.manifest.branching.roots}" for label, run in runs.items())


def _cells(run: RunDirectory, last: int, units: dict[str, Units], first: dict[str, Units] | None) -> Cells:
    lines = [line for line in run.metrics() if line["step"] <= last]
    return held_out_cells(lines, run.manifest.held_out.samples) | cells_of(units, first) | logged_cells(lines) | _evaluated(run)


def _evaluated(run: RunDirectory) -> Cells:
    """What cannot be read is left out, and said."""
    path = run.path.with_name(f"{run.path.name}-eval") / "results.json"
    if not path.exists():
        return {}
    try:
        return evaluated_cells(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        say(f"{path}: cannot be read ({error}); left out")
        return {}


def _notes(steps: dict[str, list[int]], common: Sequence[int], final: Sequence[int], found: dict[str, Cells]) -> list[str]:
    notes = [
        f"Training measures and failures: steps {final[0]} to {final[-1]}, the last tenth of those that all runs have; totals: steps 1 "
        f"to {common[-1]}. Response tokens and repetition are of whole responses.",
        "The best of several held-out checks is above what that policy would get on other questions.",
    ]
    fewest = min((cell.questions for cells in found.values() for cell in cells.values() if cell.questions), default=0)
    if 0 < fewest < FEW:
        notes.append(
            f"Some intervals rest on as few as {fewest} questions: of under {FEW} they are Student's, and only rough. Where all questions "
            "have the same value there is none."
        )
    if note := unequal(steps):
        notes.append(f"{note[0].upper()}{note[1:]}; they are compared up to step {common[-1]}.")
    differences = sum(cell.difference is not None for cells in found.values() for cell in cells.values())
    if differences:
        notes.append(f"Of {differences} paired differences some exclude 0 by chance, and none says how much another seed would change.")
    elif len(found) > 1:
        notes.append("No paired differences: the runs did not train on the same questions in the same steps.")
    return notes


def _print(runs: Runs, found: dict[str, Cells], different: dict[str, list[str]], notes: Sequence[str]) -> None:
    console = get_console()
    if len(runs) > 1:
        console.print(shown_manifests(different, list(runs)) if different else "the manifests differ in nothing but their names")
    console.print(shown(found))
    for note in notes:
        console.print(note, markup=False)
