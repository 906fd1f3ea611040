"""Everything that decides what the tiny model becomes. Its hash, kept with the model, tells whether a model is up to date."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ib_lpo.data.config import DataConfig
from tiny_model.tasks import task_of
from tiny_model.tasks.base import Phase, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Sizes and optimiser; the task says what is learnt and how far. It stops early on purpose: reinforcement learning needs errors."""

    data: DataConfig
    seed: int = 0
    hidden: int = 128
    layers: int = 4
    vocabulary: int = 512  # embedding rows; those beyond the tokenizer's tokens stay untrained
    max_context: int = 1024  # tokens
    warmup_steps: int = 30
    phases: tuple[Phase, ...] = ()  # in place of the task's own

    @property
    def task(self) -> Task:
        """Raises UserError where the manifest's questions are of no known task."""
        return task_of(self.data)

    @property
    def stages(self) -> tuple[Phase, ...]:
        return self.phases or self.task.phases

    @property
    def digest(self) -> str:
        """sha256 over the settings, those parts of `data` that matter here, and the code that gives them their meaning."""
        held_out = self.data.held_out and self.data.held_out.model_dump(mode="json")
        train = self.data.train
        settings = asdict(self) | {"data": [self.data.template, train.name, train.options, held_out]}
        folder = Path(__file__).parent
        code = [path.read_text() for path in [*sorted(folder.glob("*.py")), folder / "tasks" / f"{self.task.name}.py"]]
        return hashlib.sha256(json.dumps([settings, code], sort_keys=True).encode()).hexdigest()
