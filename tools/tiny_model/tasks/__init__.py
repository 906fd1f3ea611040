"""The tasks a tiny model can be made for: one file each, listed here."""

from ib_lpo.data.config import DataConfig
from ib_lpo.errors import UserError
from tiny_model.tasks import sparse, sums, two_ways
from tiny_model.tasks.base import Task

TASKS = {task.source: task for task in (sums.TASK, sparse.TASK, two_ways.TASK)}


def task_of(data: DataConfig) -> Task:
    """The task of a manifest, by data.train.name. Raises UserError for another source of questions."""
    train = data.train
    task = TASKS.get(train.name) if train.kind in ("file", "reasoning_gym") else None
    if task is None or (task.files is None) == (train.kind == "file"):
        kinds = ", ".join(f"{'reasoning_gym' if t.files is None else 'file'} {name}" for name, t in TASKS.items())
        raise UserError(f"data.train={train.kind} {train.name}: no tiny model can be made for it; kind and name are to be one of {kinds}")
    return task
