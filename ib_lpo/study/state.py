"""How far each run of a study is, from what lies on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ib_lpo.checkpoints.directory import newest_complete
from ib_lpo.errors import UserError
from ib_lpo.run_directory import RunDirectory
from ib_lpo.study.layout import Layout
from ib_lpo.study.plan import PlannedRun
from ib_lpo.study.record import Result, finished, read_result
from ib_lpo.study.settings import changes, settings_of
from ib_lpo.tracking import read_metrics


class State(StrEnum):
    """Of a run."""

    DONE = "done"  # its result is there
    TRAINED = "trained"  # all its steps are recorded, the result is not
    BEGUN = "begun"  # it has a checkpoint to go on from
    LEFT = "left"  # it starts from its first step


@dataclass(frozen=True, slots=True)
class Standing:
    """A run and how far it is."""

    run: PlannedRun
    state: State
    result: Result | None = None  # of DONE alone


def standings(runs: Sequence[PlannedRun], layout: Layout) -> list[Standing]:
    """Of all runs. Raises UserError, one line per run, for results and run directories of runs with other settings."""
    found: list[Standing] = []
    problems: list[str] = []
    for run in runs:
        try:
            found.append(_standing(run, layout))
        except UserError as error:
            problems.append(f"{run.name}: {error}")
    if problems:
        raise UserError("\n".join(problems))
    return found


def _standing(run: PlannedRun, layout: Layout) -> Standing:
    path = layout.result(run)
    result = read_result(path)
    if result is not None:
        _require_same(path, changes(result.settings, run.settings), f"{result.digest} there, {run.digest} now")
        return Standing(run, State.DONE, result)
    directory = run.manifest.run_dir
    if not (directory / "manifest.yaml").exists():
        return Standing(run, State.LEFT)
    recorded = RunDirectory(directory).manifest
    _require_same(directory, changes(settings_of(recorded), run.settings), "the manifest that it was started with")
    if finished(read_metrics(directory / "metrics.jsonl"), run.manifest):
        return Standing(run, State.TRAINED)
    return Standing(run, State.LEFT if newest_complete(directory / "checkpoints") is None else State.BEGUN)


def _require_same(path: Path, different: Sequence[str], which: str) -> None:
    if different:
        raise UserError(
            f"{path}: is of other settings ({which}): {'; '.join(different)}; delete it and its run directory to run it "
            "again, put the settings back, or give the study another name"
        )
