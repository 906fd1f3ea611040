"""`ib-lpo report` and `ib-lpo show`: a run to look at, in a browser and in the terminal."""

from pathlib import Path
from typing import Annotated

import typer

from ib_lpo.cli.common import RunPath, user_errors


def report(
    run: RunPath,
    out: Annotated[Path | None, typer.Option("--out", help="The file to write; RUN/report.html when absent.", show_default=False)] = None,
    trees: Annotated[int, typer.Option("--trees", min=1, help="Most rollout trees that the file holds, spread over the steps.")] = 400,
) -> None:
    """Write a run's curves and rollout trees as one HTML file that needs no server and no network."""
    with user_errors():
        from ib_lpo.report.report import write_report

        write_report(run, out, most_trees=trees)


def show(
    run: RunPath,
    step: Annotated[int, typer.Argument(metavar="STEP", min=1, help="A training step, from 1.")],
    question: Annotated[str | None, typer.Option("--question", help="Id of a question; the first when absent.", show_default=False)] = None,
) -> None:
    """Print a rollout tree: roots, forks, branches, their scores and fates."""
    with user_errors():
        from ib_lpo.report.show import show as run_show

        run_show(run, step, question)
