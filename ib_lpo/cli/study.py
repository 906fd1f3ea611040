"""`ib-lpo study`: several variants over seeds, in one command that can be killed and goes on."""

from pathlib import Path
from typing import Annotated

import typer

from ib_lpo.cli.common import Overrides, user_errors

StudyPath = Annotated[Path, typer.Argument(metavar="STUDY", help="YAML file of a study, such as configs/studies/short.yaml.")]
Only = Annotated[list[str] | None, typer.Option("--only", metavar="TASK/VARIANT", help="Run these alone; `*` matches any.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the runs and how far they are, and stop.")]
Report = Annotated[bool, typer.Option("--report", help="Run nothing; write tables and figures of what is there.")]


def study(path: StudyPath, overrides: Overrides = None, only: Only = None, dry_run: DryRun = False, report: Report = False) -> None:
    """Run every variant of a study with every seed, and write tables and figures. Killed, it goes on by the same command."""
    with user_errors():
        from ib_lpo.study.layout import Layout
        from ib_lpo.study.load import load_study
        from ib_lpo.study.plan import plan
        from ib_lpo.study.state import standings

        loaded = load_study(path, overrides or ())
        everything, chosen = plan(loaded), plan(loaded, only or ())
        found = standings(everything, Layout(loaded))  # before anything starts: other settings are errors
        if dry_run:
            names = {run.name for run in chosen}
            for one in found:
                if one.run.name in names:
                    typer.echo(f"{one.run.name}  {one.state}  {one.run.digest}")
            return
        from ib_lpo.study.report import write_report
        from ib_lpo.study.run import run_study

        failures = [] if report else run_study(loaded, chosen)
        write_report(loaded, everything)
    for failure in failures:
        typer.echo(f"failed: {failure.told}", err=True)
    if failures:
        raise typer.Exit(1)
