"""A training run's checkpoint outside of training: its ZeRO-3 shards, of any number of ranks, as the weights of a policy.

What is restored are the optimiser's float32 master weights: cast to the policy's type they are what the learner published after the
checkpoint's step. DeepSpeed's shards are pickled files: restore only checkpoints whose origin you trust.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import yaml
from torch import nn
from transformers import PreTrainedModel

from ib_lpo.errors import UserError
from ib_lpo.latent.injection import LatentMaps
from ib_lpo.learner.checkpoint import MARKER

_TAG = "learner"


def require_checkpoint(checkpoint: Path, model_path: str) -> None:
    """Raise UserError unless `checkpoint` is a complete one of a run that trains the model `model_path`. Reads no tensor."""
    if not checkpoint.is_dir():
        raise UserError(f"{checkpoint}: no such checkpoint; give one of a training run, such as runs/smoke/checkpoints/step-000040")
    if not (checkpoint / MARKER).exists():
        raise UserError(f"{checkpoint}: not a complete checkpoint (no file `{MARKER}` in it); give a complete one of the run")
    recorded = checkpoint.absolute().parent.parent / "manifest.yaml"
    try:
        trained = yaml.safe_load(recorded.read_text())["model"]["path"]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        raise UserError(f"{checkpoint}: {recorded} does not say which model it is of; give a checkpoint inside its run directory") from None
    if not _same(trained, model_path):
        raise UserError(f"model.path={model_path!r}: {checkpoint} is a checkpoint of {trained!r}; set model.path to that")


def restore(policy: PreTrainedModel, maps: LatentMaps | None, checkpoint: Path) -> None:
    """Give `policy`, and `maps` unless None, the weights of a run's checkpoint, runs/<run>/checkpoints/step-....

    Raises UserError, with nothing changed, for an incomplete checkpoint, one of another model, and for tensors that are absent or of
    another shape.
    """
    require_checkpoint(checkpoint, policy.name_or_path)
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
