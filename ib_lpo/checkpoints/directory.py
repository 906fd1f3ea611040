"""Checkpoints on disk: complete or invisible.

    checkpoints/step-000012/   state.json, whatever its writer fills in and, written last, the marker `complete`

A checkpoint is written under a hidden name, synced, renamed, and gets its marker last; a directory without the marker does not count. One
that is deleted first loses its name. So whenever the writer, of which there is one, is killed, what counts is whole, and no step's
checkpoint goes before a newer one counts. On several machines the directory must be one that all of them see.
"""

import json
import re
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError

from ib_lpo.checkpoints.durable import make, sync, sync_tree
from ib_lpo.errors import UserError
from ib_lpo.previous import set_aside
from ib_lpo.tracking import replace_text

MARKER = "complete"
STATE = "state.json"
_NAME = re.compile(r"step-(\d+)")


class CheckpointError(UserError):
    """A checkpoint that cannot be written, or gone on from; says which, why and what to do."""


class Checkpoint(NamedTuple):
    """A complete one."""

    path: Path
    state: dict[str, Any]  # of STATE

    @property
    def step(self) -> int:
        return int(_NAME.fullmatch(self.path.name)[1])


def write_checkpoint(root: Path, step: int, save: Callable[[Path], None], state: dict[str, Any], keep: int) -> Path:
    """Let `save` fill a new directory, add `state` (JSON), make it count, and delete all complete ones but the newest `keep`."""
    path = add(root, step, save, state)
    prune(root, keep)
    return path


def add(root: Path, step: int, save: Callable[[Path], None], state: dict[str, Any]) -> Path:
    """Let `save` fill a new directory, add `state` (JSON), and make it count: it takes the place of one of the same step. Raises
    CheckpointError when it cannot be written."""
    final = root / f"step-{step:06d}"
    try:
        _add(root, final, save, state)
    except (OSError, SafetensorError) as error:  # safetensors' own for a full disk
        raise CheckpointError(f"{final}: cannot be written ({error}); make room there, or set runs_dir to a disk that has some") from None
    return final


def _add(root: Path, final: Path, save: Callable[[Path], None], state: dict[str, Any]) -> None:
    make(root)
    partial, replaced = root / f".{final.name}.partial", root / f".{final.name}.replaced"
    for left in (partial, replaced):
        shutil.rmtree(left, ignore_errors=True)
    partial.mkdir()
    save(partial)
    replace_text(partial / STATE, json.dumps(state))
    sync_tree(partial)
    if final.exists():
        final.rename(replaced)
    partial.rename(final)
    sync(root)
    (final / MARKER).touch()
    sync(final)
    shutil.rmtree(replaced, ignore_errors=True)


def prune(root: Path, keep: int, spared: Collection[Path] = ()) -> None:
    """Delete all complete checkpoints but the newest `keep` and those in `spared`, and what an interrupted write or deletion left: hidden
    directories, and steps without a marker. Not while the same process writes one."""
    unmarked = [path for path in root.glob("step-*") if _NAME.fullmatch(path.name) and not (path / MARKER).exists()]
    doomed = [*unmarked, *(path for path in [path for path, _ in complete(root)][:-keep] if path not in spared)]
    for path in doomed:
        hidden = root / f".{path.name}.deleted"
        if hidden.exists():  # of a deletion of this step that was cut short
            shutil.rmtree(hidden, ignore_errors=True)
        path.rename(hidden)
    if doomed:
        sync(root)
    for left in root.glob(".step-*"):
        shutil.rmtree(left, ignore_errors=True)


def complete(root: Path) -> list[Checkpoint]:
    """Oldest step first. Raises CheckpointError for a damaged STATE."""
    named = [(match, path) for path in root.glob("step-*") if (match := _NAME.fullmatch(path.name))]
    there = [path for _, path in sorted(named, key=lambda pair: int(pair[0][1])) if (path / MARKER).exists()]
    return [Checkpoint(path, read_state(path)) for path in there]


def newest_complete(root: Path) -> Checkpoint | None:
    """The newest checkpoint that counts; None when there is none. Raises CheckpointError for a damaged STATE."""
    found = complete(root)
    return found[-1] if found else None


def find(root: Path, resume: bool | Path) -> Checkpoint | None:
    """What a run whose checkpoints lie in `root` goes on from: False: nothing; True: the newest complete one, if there is one; a path: that
    one. Raises CheckpointError unless that is a complete one of this run."""
    if isinstance(resume, bool):
        return newest_complete(root) if resume else None
    found = complete(root)
    for checkpoint in found:
        if checkpoint.path.resolve() == resume.resolve():
            return checkpoint
    names = ", ".join(path.name for path, _ in found) or "none"
    raise CheckpointError(f"{resume}: not a complete checkpoint of this run; {root} has {names}; give one of them, or --resume auto")


def set_later_aside(root: Path, step: int) -> None:
    """Rename complete checkpoints of steps after `step`, and say so: a run that goes on from before will make these steps anew."""
    for checkpoint in complete(root):
        if checkpoint.step > step:
            set_aside(checkpoint.path)


def read_state(path: Path) -> dict[str, Any]:
    """What a complete checkpoint says of itself. Raises CheckpointError when that is damaged."""
    try:
        return json.loads((path / STATE).read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path / STATE}: cannot be read ({error}); move {path.name} away to go on from another checkpoint") from None
