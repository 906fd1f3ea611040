"""What the estimators of S_IB say of four written solutions and of real trajectories on GSM8K.

    python tools/study_estimators.py          sampling and scoring; about three quarters of an hour on one core
    python tools/study_estimators.py --write  and put tables and figure into docs/

Sampled trajectories are kept under .cache/studies, so that a second run only scores. Without --write the figure goes there too.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

os.environ["HF_HUB_OFFLINE"] = "1"  # both are read on import
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import typer
from estimator_study.document import write
from estimator_study.figure import draw
from estimator_study.setup import TEMPERATURE
from estimator_study.study import Findings, study
from estimator_study.tables import tables
from fetch_gsm8k import QUESTIONS, FetchError, fetch_questions
from rich.console import Console
from transformers.utils import logging

from ib_lpo.errors import UserError
from ib_lpo.tree import Status, Verdict

ROOT = Path(__file__).resolve().parents[1]
console = Console()


def main(
    model: Annotated[Path, typer.Option(help="Checkpoint that samples and scores.")] = Path(".cache/models/smollm2-135m-instruct"),
    questions: Annotated[int, typer.Option(min=1, max=100, help="GSM8K test questions.")] = 100,
    samples: Annotated[int, typer.Option(min=2, help="Trajectories per question.")] = 8,
    scored: Annotated[int, typer.Option(min=1, help="Questions that are scored, those with a right answer first.")] = 40,
    folder: Annotated[Path, typer.Option(help="Where trajectories are kept.")] = Path(".cache/studies/estimators"),
    save: Annotated[bool, typer.Option("--write", help="Put tables and figure into docs/.")] = False,
) -> None:
    """Sample, grade, score under every estimator, and print the tables."""
    logging.disable_progress_bar()
    try:
        found = study(model, fetch_questions(QUESTIONS), count=questions, samples=samples, scored=scored, folder=folder)
    except (FetchError, UserError) as error:
        console.print(str(error), markup=False, style="red")
        raise typer.Exit(2) from None
    command = " ".join(["python", "tools/study_estimators.py", *sys.argv[1:]])
    report(found, figures=ROOT / "docs" / "figures" if save else folder, command=command, save=save)


def report(found: Findings, *, figures: Path, command: str, save: bool) -> None:
    """Tables to the terminal, the figure into `figures`, and with `save` the tables into docs/estimators.md."""
    shown, about = tables(found), describe(found)
    console.print(about)
    for table in shown:
        console.print(table.terminal())
    draw(found, figures)
    console.print(f"the figure: {figures}/estimators.png")
    if save:
        write(shown, device="cuda" if torch.cuda.is_available() else "cpu", command=command, about=about)


def describe(found: Findings) -> str:
    """One paragraph: what was sampled, and how it was graded."""
    everyone = [t for tree in found.trees for t in tree.trajectories]
    counts = {verdict: sum(t.verdict is verdict for t in everyone) for verdict in Verdict}
    graded = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    truncated = sum(t.status is Status.TRUNCATED for t in everyone)
    mean_tokens = sum(t.token_ids.size for t in everyone) / len(everyone)
    scored, of = len(found.sample.ids), len(set(found.sample.question))
    return (
        f"Sampled: {len(everyone)} trajectories of {len(found.trees)} GSM8K test questions at temperature {TEMPERATURE}: {graded}; "
        f"{truncated} truncated; {mean_tokens:.0f} tokens on average. "
        f"Scored: the {scored} gradable ones of {of} questions, those with a right trajectory among them first."
    )


if __name__ == "__main__":
    typer.run(main)
