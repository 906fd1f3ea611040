"""The questions of a task without a generator as .jsonl files, one object per line: question and answer, and for the fit of a latent a
worked solution."""

import json
import random
from itertools import islice
from pathlib import Path

from ib_lpo.data.config import DataConfig
from ib_lpo.errors import UserError
from ib_lpo.manifest import Manifest
from tiny_model.tasks.base import Item, Task

_SEED = "questions"  # the files are the same for every model
_SOLUTIONS = 1024


def write_questions(task: Task, data: DataConfig) -> list[Path]:
    """Write the training and held-out questions of `task` where the manifest looks for them, and return the paths.

    No question comes twice. The files are the same on every machine, and one that is there with the right content is left alone.
    Raises UserError when the manifest names no file.
    """
    if task.files is None:
        return []
    parts = split(task, data)
    paths = {"train": data.train.path, "held_out": data.held_out.path if data.held_out else None}
    for part, items in parts.items():
        if paths[part] is None:
            raise UserError(f"data.{part}.path: absent; name the .jsonl file that the questions of {task.name} are written to")
        text = "".join(json.dumps({"question": item.question, "answer": item.answer}) + "\n" for item in items)
        _write(paths[part], text)
    return list(paths.values())


def write_solutions(task: Task, manifest: Manifest) -> Path | None:
    """Write worked solutions where `latent_fit.data` looks for them, of the training questions over and over. None: it looks for none."""
    source = manifest.latent_fit.data
    if task.shown is None or source is None or source.path is None:
        return None
    rng = random.Random(_SEED)
    items = split(task, manifest.data)["train"]
    chosen = [items[number % len(items)] for number in range(_SOLUTIONS)]
    rows = [{"question": item.question, "solution": task.shown(item, rng), "answer": item.answer} for item in chosen]
    _write(source.path, "".join(json.dumps(row) + "\n" for row in rows))
    return source.path


def split(task: Task, data: DataConfig) -> dict[str, list[Item]]:
    """Different questions by file: as many as `task.files` says."""
    wanted = dict(task.files or {})
    found: dict[str, Item] = {}
    for item in task.items(data, _SEED):
        found.setdefault(item.question, item)
        if len(found) == sum(wanted.values()):
            break
    rest = iter(found.values())
    return {part: list(islice(rest, count)) for part, count in wanted.items()}


def _write(path: Path, text: str) -> None:
    if path.is_file() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(path)
