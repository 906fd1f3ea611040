"""A training run's checkpoint outside of training: its ZeRO-3 shards, of any number of ranks, as the weights of a policy.

What is restored are the optimiser's float32 master weights: cast to the policy's type they are what the learner published after the
checkpoint's step. DeepSpeed's shards are pickled files: restore only checkpoints whose origin you trust.
"""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from ib_lpo.errors import UserError
from ib_lpo.latent.config import LatentConfig
from ib_lpo.latent.injection import LatentMaps
from ib_lpo.latent.store import latent_digest
from ib_lpo.learner.checkpoint import MARKER, STATE
from ib_lpo.manifest import Manifest, load

_TAG = "learner"


def require_checkpoint(checkpoint: Path, manifest: Manifest) -> None:
    """Raise UserError unless `checkpoint` is a complete one of a run with the manifest's model and, if it has one, its latent. Reads no
    tensor of the checkpoint."""
    if not checkpoint.is_dir():
        raise UserError(f"{checkpoint}: no such checkpoint; give one of a training run, such as runs/smoke/checkpoints/step-000040")
    if not (checkpoint / MARKER).exists():
        raise UserError(f"{checkpoint}: not a complete checkpoint (no file `{MARKER}` in it); give a complete one of the run")
    recorded = checkpoint.absolute().parent.parent / "manifest.yaml"
    if not recorded.exists():
        raise UserError(f"{checkpoint}: {recorded} is not there to say which model it is of; give a checkpoint inside its run directory")
    run = load(recorded)
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
    ours, state = latent_digest(manifest), json.loads((checkpoint / STATE).read_text())
    if state.get("latent", ours) != ours:
        weights = manifest.latent.weights and str(manifest.latent.weights)
        raise UserError(f"latent.weights={weights!r}: {checkpoint} was trained with another latent; name that one")


def restore(policy: PreTrainedModel, maps: LatentMaps | None, checkpoint: Path, manifest: Manifest) -> None:
    """Give `policy`, and `maps` unless None, both as `manifest` has them, the weights of a run's checkpoint.

    Raises UserError, with nothing changed, for an incomplete checkpoint, one of another model, and for tensors that are absent or of
    another shape.
    """
    require_checkpoint(checkpoint, manifest)
    stored = _stored(checkpoint)
    wanted = _named("policy", policy) | ({} if maps is None else _named("maps", maps))
    problems = [problem for name, parameter in wanted.items() if (problem := _misfit(name, parameter, stored))]
    if problems:
        more = f", and {len(problems) - 1} more tensors do not fit either" if len(problems) > 1 else ""
        raise UserError(f"{checkpoint}: {problems[0]}{more}; use the `model` and `latent` sections of the run that wrote it")
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(stored[name].contiguous())


def _stored(checkpoint: Path) -> dict[str, Any]:
    """Tensors by the names of the learner's module; each is put together from its shards when `contiguous` is called."""
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    try:
        with _quiet():
            return get_fp32_state_dict_from_zero_checkpoint(str(checkpoint / "learner"), tag=_TAG, lazy_mode=True)
    except (OSError, ValueError, RuntimeError, KeyError, EOFError, UnpicklingError) as error:
        cause = " ".join(str(error).split())[:200]
        raise UserError(f"{checkpoint}: its shards cannot be read ({type(error).__name__}: {cause}); use another checkpoint") from None


def _named(part: str, module: nn.Module) -> dict[str, nn.Parameter]:
    return {f"{part}.{name}": parameter for name, parameter in module.named_parameters()}


def _misfit(name: str, parameter: nn.Parameter, stored: dict[str, Any]) -> str | None:
    if name not in stored:
        return f"has no tensor {name}"
    if tuple(stored[name].shape) != tuple(parameter.shape):
        return f"{name} has shape {list(stored[name].shape)}, the model needs {list(parameter.shape)}"
    return None


def _same(recorded: str, given: str) -> bool:
    """Whether both name the same hub id or directory."""
    return recorded == given or (Path(given).exists() and Path(recorded).resolve() == Path(given).resolve())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without DeepSpeed's progress reports."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield
