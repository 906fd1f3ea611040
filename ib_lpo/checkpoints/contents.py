"""What a training run's checkpoint holds besides its state.json: all that it takes to go on, to evaluate and to export it, wherever the
directory is copied to, but for the starting model, whose configuration and tokenizer stay where `model.path` says.

    manifest.yaml   the run's, resolved
    latent/         a copy of `latent.weights` as it was when the run began, when it has one (latent/store.py)
    learner/        weights, moments, step counts (checkpoints/learner_state.py)
"""

from pathlib import Path
from typing import Protocol

from ib_lpo.checkpoints.directory import MARKER, CheckpointError
from ib_lpo.latent.store import KeptLatent
from ib_lpo.manifest import Manifest, dump, load_recorded
from ib_lpo.tracking import replace_text

MANIFEST, LATENT, LEARNER = "manifest.yaml", "latent", "learner"


class SavesItself(Protocol):
    """The learner's side."""

    def save(self, path: Path) -> None: ...


def fill(directory: Path, manifest: Manifest, learner: SavesItself, latent: KeptLatent | None) -> None:
    """Fill an empty directory; `latent`: the run's copy. Raises OSError or CheckpointError when it cannot be written, and UserError when
    the latent is not what it was."""
    replace_text(directory / MANIFEST, dump(manifest))
    if latent is not None:
        latent.copy_to(directory / LATENT)
    (directory / LEARNER).mkdir()
    learner.save((directory / LEARNER).resolve())


def recorded_manifest(checkpoint: Path) -> Manifest:
    """Of the run that wrote a complete checkpoint. Raises CheckpointError when `checkpoint` is none, or not of a training run."""
    if not checkpoint.is_dir():
        raise CheckpointError(f"{checkpoint}: no such checkpoint; give one of a training run, such as runs/smoke/checkpoints/step-000040")
    if not (checkpoint / MARKER).exists():
        raise CheckpointError(f"{checkpoint}: not a complete checkpoint (no file `{MARKER}` in it); give a complete one of the run")
    if not (checkpoint / MANIFEST).exists():
        raise CheckpointError(f"{checkpoint}: has no {MANIFEST}: it is of a latent fit, or of an earlier ib_lpo; give another one")
    return load_recorded(checkpoint / MANIFEST)
