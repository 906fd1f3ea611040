"""What the analyses of runs share: which runs and steps they look at, how they read trees, and where results go.

A step counts when it has both a line in metrics.jsonl and a file of trees: trees without a line are leftovers of a run that was killed and
goes on from before. Trees are read a file at a time and only the columns that are asked for, so no run needs to fit into memory.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import get_console
from rich.progress import track

from ib_lpo.errors import UserError
from ib_lpo.run_directory import RunDirectory

Runs = dict[str, RunDirectory]
"""By label, in the order given."""


def open_runs(paths: Sequence[Path]) -> Runs:
    """The runs by name, or by path where a name occurs twice. Raises UserError for what is no run, and for a run given twice."""
    resolved = Counter(path.resolve() for path in paths)
    for path in paths:
        if resolved[path.resolve()] > 1:
            raise UserError(f"{path}: this run is given {resolved[path.resolve()]} times; name each run once")
    runs = [RunDirectory(path) for path in paths]
    names = Counter(run.name for run in runs)
    return {run.name if names[run.name] == 1 else str(run.path): run for run in runs}


def recorded_steps(run: RunDirectory) -> list[int]:
    """Steps with metrics and trees, ascending. Raises UserError when there are none."""
    steps = run.recorded_steps
    if not steps:
        raise UserError(f"{run.path}: has no step with trees yet; train the run, or wait for its first step")
    return steps


@contextmanager
def results_folder(paths: Sequence[Path], out: Path | None) -> Iterator[Path]:
    """`out`, or `analysis/` in the first run's directory, made if need be, to write into. Raises UserError for what cannot be written."""
    folder = paths[0] / "analysis" if out is None else out
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    except OSError as error:
        raise UserError(
            f"{error.filename or folder}: cannot be written ({error.strerror or error}); give --out a folder of yours"
        ) from None


def rows_of(label: str, run: RunDirectory, steps: Sequence[int], columns: Sequence[str]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """(step, its trajectories' rows), with a bar in a terminal."""
    console = get_console()
    bar = track(steps, description=f"reading {label}", console=console, disable=not console.is_terminal, transient=True)
    return ((step, run.rows(step, columns)) for step in bar)


def tenth(steps: Sequence[int]) -> int:
    """How many of the steps are a tenth of them, at least one."""
    return max(1, round(len(steps) / 10))


def smoothed(values: Mapping[int, float], window: int) -> dict[int, float]:
    """At each step the mean of the values less than half a window (in steps) away, a window of 1 changes nothing."""
    return {step: _mean([value for near, value in values.items() if 2 * abs(near - step) < window]) for step in values}


def window_of(steps: Iterable[int]) -> int:
    """The window of smoothed lines, an odd number of steps: a tenth of a run, rounded up."""
    length = -(-len(list(steps)) // 10)
    return length + 1 - length % 2


def unequal(steps: Mapping[str, Sequence[int]]) -> str | None:
    """One line that says so when runs differ in their last step."""
    if len({of_run[-1] for of_run in steps.values()}) < 2:
        return None
    return "the runs differ in length: " + ", ".join(f"{label} has {of_run[-1]} steps" for label, of_run in steps.items())


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
