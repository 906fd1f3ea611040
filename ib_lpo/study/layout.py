"""Where a study's files lie.

<out>/<task>.md .csv .png                    tables and figures
<out>/results/<task>/<variant>/m0-s0.json    a finished run boiled down; small, to be committed
<runs_dir>/<run>/                            run directories, as `ib-lpo train` writes them
<runs_dir>/study/<run>.yaml .log             what a run is started with, what it printed
<runs_dir>/study/<run>.machine.json          where it ran
<runs_dir>/study/<run>.failed.json           how it failed
"""

from dataclasses import dataclass
from pathlib import Path

from ib_lpo.study.config import StudyConfig
from ib_lpo.study.plan import PlannedRun


@dataclass(frozen=True)
class Layout:
    """Of one study."""

    study: StudyConfig

    def result(self, run: PlannedRun) -> Path:
        folder = self.study.results_dir / "results" / run.task / run.variant
        return folder / f"m{run.model_seed}-s{run.run_seed}.json"

    def page(self, task: str, suffix: str) -> Path:
        """Table or figure of a task; `suffix`: .md, .csv or .png."""
        return self.study.results_dir / f"{task}{suffix}"

    def manifest(self, run: PlannedRun) -> Path:
        return self._own(run, ".yaml")

    def log(self, run: PlannedRun) -> Path:
        return self._own(run, ".log")

    def machine(self, run: PlannedRun) -> Path:
        return self._own(run, ".machine.json")

    def failure(self, run: PlannedRun) -> Path:
        return self._own(run, ".failed.json")

    @property
    def lock(self) -> Path:
        """Held by the one process that runs the study."""
        return self.study.parent / "study" / ".lock"

    def _own(self, run: PlannedRun, suffix: str) -> Path:
        return self.study.parent / "study" / f"{run.name}{suffix}"
