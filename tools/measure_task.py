"""Measure what a tiny model can do on its task: whether there is something to learn, and whether sampling can find it.

    python tools/measure_task.py configs/tasks/sparse.yaml [--model FOLDER]

Samples the training questions at temperature 1 and prints a Markdown table; about half a minute of one core. pass@k is the unbiased
estimate 1 - C(n - c, k) / C(n, k) (arXiv 2107.03374), of n samples with c right ones.
"""

import os
import platform
from math import comb
from pathlib import Path
from typing import Annotated

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import typer
from tiny_model.files import write_questions
from tiny_model.measure import measure
from tiny_model.tasks import task_of
from tiny_model.tasks.base import Item
from tiny_model.warmup import figures_of
from transformers import AutoModelForCausalLM, AutoTokenizer

from ib_lpo.data.sources import read_rows
from ib_lpo.errors import UserError
from ib_lpo.manifest import Manifest, load

app = typer.Typer(add_completion=False)
GROUP = 8  # responses whose rewards GRPO compares


def pass_at(k: int, right: int, of: int) -> float:
    """Chance that k of `of` samples, `right` of them right, hold a right one."""
    return 1.0 - comb(of - right, k) / comb(of, k)


def mixed(right: list[bool]) -> float:
    """Share of groups, consecutive samples, with right answers and wrong ones."""
    groups = [right[at : at + GROUP] for at in range(0, len(right), GROUP)]
    return sum(0 < sum(group) < len(group) for group in groups) / len(groups)


def processor() -> str:
    """Its name, as the operating system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def study(manifest: Manifest, folder: Path, *, questions: int, samples: int) -> dict[str, float]:
    """Everything of the table, by name."""
    torch.set_num_threads(1)
    task = task_of(manifest.data)
    write_questions(task, manifest.data)
    rows = read_rows(manifest.data.train)[:questions]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    prompts = [manifest.data.template.format(q=row.question) for row in rows]
    golds = [row.answer for row in rows]
    answers = measure(model, tokenizer, prompts, golds, samples=samples, most_tokens=manifest.rollout.max_response_tokens)
    items = [Item(row.question, row.answer, row.question) for row in rows for _ in range(samples)]
    per_question = [sum(answers.right[at : at + samples]) for at in range(0, len(answers.right), samples)]
    found = {f"pass@{k}": sum(pass_at(k, c, samples) for c in per_question) / len(rows) for k in (1, 8, 64) if k <= samples}
    found |= {"groups of 8 with mixed rewards": mixed(list(answers.right))}
    found |= {"response tokens": answers.tokens, "entropy, nats": answers.entropy, "boxed and ended": answers.well_formed}
    return found | figures_of(task, items, answers.texts, answers.right)


@app.command()
def main(
    manifest: Path,
    model: Annotated[Path | None, typer.Option(help="Folder of the model; the manifest's model.path when absent.")] = None,
    questions: Annotated[int, typer.Option(min=1)] = 64,
    samples: Annotated[int, typer.Option(min=1)] = 64,
) -> None:
    """Print the measurements of MANIFEST's task and model."""
    try:
        settings = load(manifest)
        folder = model or Path(settings.model.path)
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; make the model with python tools/make_tiny_model.py {manifest}")
        found = study(settings, folder, questions=questions, samples=samples)
    except UserError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    print(f"{folder.name}: {questions} training questions x {samples} samples at T=1, {processor()}\n")
    print("| figure | value |\n| --- | ---: |")
    for name, value in found.items():
        print(f"| {name} | {value:.3f} |")


if __name__ == "__main__":
    app()
