"""A training run's checkpoint outside of training: what any number of ranks wrote, as the weights of a policy.

What is restored are the optimiser's float32 master weights: cast to the policy's type they are what the learner published after the
checkpoint's step. Nothing is pickled, and only what is asked for is read.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from ib_lpo.checkpoints.contents import LEARNER, recorded_manifest
from ib_lpo.checkpoints.directory import CheckpointError, read_state
from ib_lpo.checkpoints.learner_state import WEIGHTS, LearnerState
from ib_lpo.errors import UserError
from ib_lpo.latent.config import LatentConfig
from ib_lpo.latent.injection import LatentMaps
from ib_lpo.latent.store import latent_digest
from ib_lpo.manifest import Manifest


def require_checkpoint(checkpoint: Path, manifest: Manifest) -> None:
    """Raise UserError unless `checkpoint` is a complete one of a run with the manifest's model and, if it has one, its latent. Reads no
    tensor of the checkpoint."""
    run = recorded_manifest(checkpoint)
    LearnerState(checkpoint / LEARNER)
    if not _same(run.model.path, manifest.model.path):
        raise UserError(f"model.path={manifest.model.path!r}: {checkpoint} is a checkpoint of {run.model.path!r}; set model.path to that")
    pairs = {"model.revision": (manifest.model.revision, run.model.revision)}
    if manifest.latent.kind != "none":
        theirs = _decisive(run.latent)
        pairs |= {key: (ours, theirs[key]) for key, ours in _decisive(manifest.latent).items()}
        _require_weights(checkpoint, manifest)
    for key, (ours, trained) in pairs.items():
        if ours != trained:
            raise UserError(f"{key}={ours!r}: {checkpoint} was trained with {trained!r}; set {key} to that")


def _decisive(latent: LatentConfig) -> dict[str, Any]:
    """What must be as in the run, by key."""
    sections = {"latent.psa": latent.psa, "latent.encoder": latent.encoder}
    own = {f"latent.{key}": getattr(latent, key) for key in ("kind", "dim", "injection")}
    return own | {f"{name}.{key}": value for name, section in sections.items() for key, value in section.model_dump(mode="json").items()}


def _require_weights(checkpoint: Path, manifest: Manifest) -> None:
    ours = latent_digest(manifest)
    if read_state(checkpoint).get("latent", ours) != ours:
        weights = manifest.latent.weights and str(manifest.latent.weights)
        raise UserError(f"latent.weights={weights!r}: {checkpoint} was trained with another latent; name that one")


def restore(policy: PreTrainedModel, maps: LatentMaps | None, checkpoint: Path, manifest: Manifest) -> None:
    """Give `policy`, and `maps` unless None, both as `manifest` has them, the weights of a run's checkpoint.

    Raises UserError, with nothing changed, for an incomplete or damaged checkpoint, one of another model, and for tensors that are absent
    or of another shape.
    """
    require_checkpoint(checkpoint, manifest)
    state = LearnerState(checkpoint / LEARNER)
    wanted = _named("policy", policy) | ({} if maps is None else _named("maps", maps))
    if problem := state.misfit({name: tuple(parameter.shape) for name, parameter in wanted.items()}):
        raise CheckpointError(f"{checkpoint}: {problem}; use the `model` and `latent` sections of the run that wrote it")
    state.verify(wanted, (WEIGHTS,))
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(state.tensor(WEIGHTS, name))


def _named(part: str, module: nn.Module) -> dict[str, nn.Parameter]:
    return {f"{part}.{name}": parameter for name, parameter in module.named_parameters()}


def _same(recorded: str, given: str) -> bool:
    """Whether both name the same hub id or directory."""
    return recorded == given or (Path(given).exists() and Path(recorded).resolve() == Path(given).resolve())
