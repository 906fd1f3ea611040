"""Make the tiny Qwen3 of a manifest: 0.85 M parameters that answer the questions of a task in writing, and err often enough to learn.

    python tools/make_tiny_model.py [MANIFEST]    # configs/smoke.yaml when absent; configs/tasks/ has the others

The task (tools/tiny_model/tasks/) is the one that data.train.name asks for; where its questions are read from files, they are written too.
Deterministic for a given manifest, machine and library versions; about 100 seconds of one CPU core. The warm-up stops inside the task's
band of accuracy on any machine. Does nothing when the model is there and its recorded settings are the current ones: `tiny_model.json`,
written last, marks a complete model.
"""

import json
import os
import shutil
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DS_ACCELERATOR", "cpu")

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from tiny_model.examples import examples
from tiny_model.files import write_questions, write_solutions
from tiny_model.measure import Answers, measure
from tiny_model.network import make_network, make_tokenizer
from tiny_model.recipe import Recipe
from tiny_model.tasks.base import Phase
from tiny_model.warmup import response_loss, warm_up
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging

from ib_lpo.data.config import DataConfig, SourceConfig
from ib_lpo.data.questions import load_questions
from ib_lpo.errors import UserError
from ib_lpo.manifest import load
from ib_lpo.tree import Question

MARKER = "tiny_model.json"
SMOKE = Path(__file__).resolve().parents[1] / "configs" / "smoke.yaml"
console = Console()


def complete(folder: Path, recipe: Recipe) -> bool:
    """Whether `folder` holds the model that `recipe` makes."""
    marker = folder / MARKER
    return marker.is_file() and json.loads(marker.read_text()).get("digest") == recipe.digest


def make(folder: Path, recipe: Recipe) -> Answers:
    """Build, warm up, measure and save into `folder`, replacing what is there. Returns the final measurement."""
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    sample = [list(islice(examples(recipe, bare=bare, held_out=set(), stream="tokenizer"), 500)) for bare in (False, True)]
    tokenizer = make_tokenizer([text for part in sample for example in part for text in example], max_context=recipe.max_context)
    held_out = load_questions(held_out_source(recipe.data), recipe.data, tokenizer, max_prompt_tokens=recipe.max_context)
    model = make_network(
        tokenizer,
        hidden=recipe.hidden,
        layers=recipe.layers,
        vocabulary=recipe.vocabulary,
        max_context=recipe.max_context,
        seed=recipe.seed,
    )
    before = _state(model, tokenizer, recipe, held_out, 1)
    with Progress(
        TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn(),
        console=console,
    ) as progress:  # fmt: skip
        figures = warm_up(model, tokenizer, recipe, {question.text for question in held_out}, _reporter(progress, recipe))
    after = _state(model, tokenizer, recipe, held_out, 4)
    _print(before, after, figures)
    _save(folder, model, tokenizer, recipe, after[1], figures)
    return after[1]


def held_out_source(data: DataConfig) -> SourceConfig:
    """The manifest's held-out questions, or 64 of the training generator where it names none."""
    return data.held_out or data.train.model_copy(update={"size": 64, "seed": data.train.seed + (data.train.size or 0)})


def _state(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, held_out: list[Question], samples: int
) -> tuple[float, Answers]:
    """Loss on 64 fresh examples in nats per token, and answers to the held-out questions."""
    with torch.no_grad():
        loss = response_loss(model, tokenizer, list(islice(examples(recipe, bare=False, held_out=set(), stream="loss"), 64)))
    prompts = [recipe.data.template.format(q=question.text) for question in held_out]
    golds = [question.answer for question in held_out]
    return float(loss), measure(model, tokenizer, prompts, golds, samples=samples, most_tokens=recipe.task.responses)


def _reporter(progress: Progress, recipe: Recipe):
    tasks = {phase.name: progress.add_task(phase.name, total=phase.most_steps, note="") for phase in recipe.stages}
    latest = {phase.name: "" for phase in recipe.stages}

    def report(phase: Phase, step: int, loss: float, figures: Mapping[str, float] | None) -> None:
        if figures is not None:
            latest[phase.name] = "".join(f", {name} {figures[name]:.2f} (wanted: {band})" for name, band in phase.bands.items())
        progress.update(tasks[phase.name], completed=step, note=f"loss {loss:.2f}{latest[phase.name]}")

    return report


def _print(before: tuple[float, Answers], after: tuple[float, Answers], figures: Mapping[str, float]) -> None:
    table = Table("", "before", "after", title="held-out questions, sampled at T=1")
    table.add_row("loss, nats/token", *(f"{loss:.3f}" for loss, _ in (before, after)))
    rows = {
        "accuracy": lambda a: f"{a.accuracy:.3f}",
        "boxed and ended": lambda a: f"{a.well_formed:.3f}",
        "response tokens": lambda a: f"{a.tokens:.1f}",
        "entropy, nats": lambda a: f"{a.entropy:.3f}",
        "tokens above 0.5 nats": lambda a: f"{a.hesitant:.3f}",
    }
    for name, show in rows.items():
        table.add_row(name, *(show(answers) for _, answers in (before, after)))
    console.print(table)
    console.print("At the last check: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    for text in after[1].texts[:: max(1, len(after[1].texts) // 6)]:
        console.print(f"  {text}", markup=False, highlight=False)


def _save(
    folder: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    recipe: Recipe,
    after: Answers,
    figures: Mapping[str, float],
) -> None:
    """Written beside the folder and renamed, the marker last, so that a half-written model is never taken for one."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    found = {"accuracy": after.accuracy, "entropy": after.entropy, "task": recipe.task.name, "at the last check": dict(figures)}
    (partial / MARKER).write_text(json.dumps({"digest": recipe.digest} | found, indent=2))
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)


def main(
    manifest: Annotated[Path, typer.Argument(help="Manifest whose model.path, template and questions the model is made for.")] = SMOKE,
    out: Annotated[Path | None, typer.Option(help="Folder of the model; the manifest's model.path when absent.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights and examples.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Make it again even if it is up to date.")] = False,
) -> None:
    """Make the tiny model of MANIFEST, unless it is there already."""
    try:
        settings = load(manifest)
        folder = out or Path(settings.model.path)
        recipe = Recipe(data=settings.data, seed=seed)
        write_questions(recipe.task, recipe.data)
        write_solutions(recipe.task, settings)
        if not force and complete(folder, recipe):
            console.print(f"{folder} is up to date")
            return
        make(folder, recipe)
    except UserError as error:
        console.print(str(error), markup=False, style="red")
        raise typer.Exit(2) from None
    console.print(f"{folder}")


if __name__ == "__main__":
    typer.run(main)
