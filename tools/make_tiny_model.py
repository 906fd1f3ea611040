"""Make the tiny Qwen3 of a smoke manifest: 0.85 M parameters that work out sums in writing, and err often enough to learn.

    python tools/make_tiny_model.py [MANIFEST]    # configs/smoke.yaml when absent

Deterministic for a given manifest, machine and library versions; about 100 seconds of one CPU core. Does nothing when the
model is there and its recorded settings are the current ones: `tiny_model.json`, written last, marks a complete model.
"""

import json
import os
import shutil
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
from tiny_model.measure import Answers, measure
from tiny_model.network import make_network, make_tokenizer
from tiny_model.recipe import Phase, Recipe
from tiny_model.warmup import response_loss, warm_up
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging

from ib_lpo.data.config import DataConfig, SourceConfig
from ib_lpo.data.questions import load_questions
from ib_lpo.errors import UserError
from ib_lpo.manifest import load
from ib_lpo.tree import Question

MARKER = "tiny_model.json"
GENERATOR = "chain_sum"  # the one generator whose questions tiny_model.arithmetic can work out
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
    sample = [list(islice(examples(recipe, bare=bare, held_out=set(), stream=9), 500)) for bare in (False, True)]
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
        warm_up(model, tokenizer, recipe, held_out, _reporter(progress, recipe))
    after = _state(model, tokenizer, recipe, held_out, 4)
    _print(before, after)
    _save(folder, model, tokenizer, recipe, after[1])
    return after[1]


def held_out_source(data: DataConfig) -> SourceConfig:
    """The manifest's held-out questions, or 64 of the training generator where it names none."""
    return data.held_out or data.train.model_copy(update={"size": 64, "seed": data.train.seed + (data.train.size or 0)})


def _state(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, held_out: list[Question], samples: int
) -> tuple[float, Answers]:
    """Loss on 64 fresh examples in nats per token, and answers to the held-out questions."""
    with torch.no_grad():
        loss = response_loss(model, tokenizer, list(islice(examples(recipe, bare=False, held_out=set(), stream=8), 64)))
    prompts = [recipe.data.template.format(q=question.text) for question in held_out]
    return float(loss), measure(model, tokenizer, prompts, [question.answer for question in held_out], samples=samples)


def _reporter(progress: Progress, recipe: Recipe):
    tasks = {phase.name: progress.add_task(phase.name, total=phase.most_steps, note="") for phase in recipe.phases}
    accuracy = {phase.name: "" for phase in recipe.phases}

    def report(phase: Phase, step: int, loss: float, check: Answers | None) -> None:
        if check is not None:
            accuracy[phase.name] = f", accuracy {check.accuracy:.2f} (stops at {phase.target:.2f})"
        progress.update(tasks[phase.name], completed=step, note=f"loss {loss:.2f}{accuracy[phase.name]}")

    return report


def _print(before: tuple[float, Answers], after: tuple[float, Answers]) -> None:
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
    for text in after[1].examples:
        console.print(f"  {text}", markup=False, highlight=False)


def _save(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, after: Answers) -> None:
    """Written beside the folder and renamed, the marker last, so that a half-written model is never taken for one."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    (partial / MARKER).write_text(json.dumps({"digest": recipe.digest, "accuracy": after.accuracy, "entropy": after.entropy}, indent=2))
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
        if settings.data.train.kind != "reasoning_gym" or settings.data.train.name != GENERATOR:
            raise UserError(f"{manifest}: data.train is not reasoning_gym {GENERATOR}, the one task a tiny model can be made for")
        folder = out or Path(settings.model.path)
        recipe = Recipe(data=settings.data, seed=seed)
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
