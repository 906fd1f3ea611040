"""Which checkpoint is the best one: a function of the values in their states alone, so that a resumed run finds the same."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ib_lpo.checkpoints.config import CheckpointConfig
from ib_lpo.checkpoints.directory import Checkpoint

POINTER = "best"  # symbolic link beside the checkpoints


def rank_of(metrics: Mapping[str, Any], config: CheckpointConfig) -> dict[str, Any]:
    """What a checkpoint's state records: the name and the value of `checkpoint.best`; {} without it, or without a finite value."""
    value = metrics.get(config.best) if config.best is not None else None
    if value is None or not math.isfinite(value):
        return {}
    return {"ranked": {"metric": config.best, "value": float(value)}}


def best_of(found: Sequence[Checkpoint], config: CheckpointConfig) -> Checkpoint | None:
    """The one with the best value of `checkpoint.best`, the oldest of equal ones; None when none has a value of it."""
    sign = 1.0 if config.best_mode == "max" else -1.0
    ranked = [c for c in found if config.best is not None and c.state.get("ranked", {}).get("metric") == config.best]
    return max(ranked, key=lambda c: sign * c.state["ranked"]["value"], default=None)


def point(root: Path, to: Checkpoint | None) -> None:
    """Make `root/best` lead to a checkpoint, or be absent, whatever it led to before."""
    if to is None:
        (root / POINTER).unlink(missing_ok=True)
        return
    partial = root / f".{POINTER}.partial"
    partial.unlink(missing_ok=True)
    partial.symlink_to(to.path.name)
    partial.replace(root / POINTER)
