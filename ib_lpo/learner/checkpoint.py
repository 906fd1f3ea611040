"""Checkpoints on disk: complete or invisible.

A checkpoint is written under a temporary name, renamed, and gets its marker last; a directory without the marker does not count.
The directory must be one that the driver and every learner rank see (a shared file system on several machines).
"""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

MARKER = "complete"
STATE = "state.json"
_NAME = re.compile(r"step-(\d+)")


def write_checkpoint(root: Path, step: int, save: Callable[[Path], None], state: dict[str, Any], keep: int) -> Path:
    """Let `save` fill a new directory, add `state` (JSON), make it count, and delete all complete ones but the newest `keep`."""
    root.mkdir(parents=True, exist_ok=True)
    final = root / f"step-{step:06d}"
    partial = root / f".{final.name}.partial"
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir()
    save(partial)
    (partial / STATE).write_text(json.dumps(state))
    if final.exists():
        shutil.rmtree(final)
    partial.rename(final)
    (final / MARKER).touch()
    for path in _complete(root)[:-keep]:
        shutil.rmtree(path)
    return final


def newest_complete(root: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint that counts, and its state; None when there is none."""
    found = _complete(root)
    return (found[-1], json.loads((found[-1] / STATE).read_text())) if found else None


def _complete(root: Path) -> list[Path]:
    """Complete checkpoints, oldest step first."""
    named = [(match, path) for path in root.glob("step-*") if (match := _NAME.fullmatch(path.name))]
    return [path for match, path in sorted(named, key=lambda pair: int(pair[0][1])) if (path / MARKER).exists()]
