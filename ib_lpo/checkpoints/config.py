"""Settings of checkpoints. Imports no torch."""

import shlex
from string import Formatter
from typing import Literal

from pydantic import Field, field_validator

from ib_lpo.section import Section

PLACES = frozenset({"path", "name", "step"})  # what may stand in braces in `upload`


class CheckpointConfig(Section):
    """When the state of a run is saved, how much of it stays on disk, and where it is copied."""

    every: int = Field(10, ge=0)
    """Steps between checkpoints; 0 turns them off. The last step is always saved unless 0."""
    keep: int = Field(2, ge=1)
    """Newest complete checkpoints that stay on disk."""
    best: str | None = None
    """Metric of a step's line (docs/metrics.md), such as held_out/accuracy: the checkpoint with its best value stays on disk besides the
    newest; null: none does."""
    best_mode: Literal["max", "min"] = "max"
    """Which value of checkpoint.best is the best one."""
    file_mb: float = Field(512.0, gt=0.0)
    """Largest file of learner state, MB (1e6 bytes), unless one tensor is larger; a rank holds three of them in host memory as it saves."""
    upload: str | None = None
    """Command that copies a complete checkpoint elsewhere, in the background and without a shell: {path}, {name} and {step} stand for its
    directory, the run's name and the step. null: none. It is recorded in manifest.yaml, so give it no secrets."""
    upload_deadline_s: float = Field(600.0, gt=0.0)
    """Seconds that the end of a run waits for uploads."""

    @field_validator("upload")
    @classmethod
    def _can_be_run(cls, command: str | None) -> str | None:
        if command is None:
            return None
        parts = shlex.split(command)  # its ValueError says what is not closed
        if not parts:
            raise ValueError("is empty; give a command such as 'rclone copy {path} remote:{name}/{step}', or null")
        if unknown := {field for part in parts for _, field, *_ in Formatter().parse(part) if field is not None} - PLACES:
            raise ValueError(f"{{{min(unknown)}}} stands for nothing; {{path}}, {{name}} and {{step}} do, and {{{{ }}}} are plain braces")
        return command
