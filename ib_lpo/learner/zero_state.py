"""What DeepSpeed ZeRO-3 holds of the optimiser, to and from whole tensors on disk (checkpoints/learner_state.py).

Saving is collective: every rank gathers all parameters in the same order, one at a time, keeps those of the files that are its own, and
writes them when each rank has its next files; no rank holds the model whole. Loading reads a rank's own slices alone, and is collective
only where DeepSpeed gathers the parameters that it keeps whole on every rank.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ib_lpo.checkpoints.directory import CheckpointError
from ib_lpo.checkpoints.learner_state import MOMENTS, WEIGHTS, Entry, LearnerState, write_files
from ib_lpo.learner.zero import buckets

_Named = list[tuple[str, nn.Parameter]]
_Tensors = dict[str, dict[str, Tensor]]  # by kind, then by parameter


def optimiser_steps(engine: Any) -> int:
    """Steps that Adam applied, the same for all parameters."""
    states = [engine.optimizer.optimizer.state.get(flat, {}) for flat in engine.optimizer.fp32_partitioned_groups_flat]
    (steps,) = {int(state.get("step", 0)) for state in states}
    return steps


def save_state(engine: Any, directory: Path, *, rank: int, world: int, file_bytes: int) -> dict[str, Entry]:
    """Write this rank's files, each of at most `file_bytes` unless one tensor is larger; returns what they hold. Collective.

    Raises CheckpointError when they cannot be written, after all gathers, so that the group stays usable.
    """
    kinds = (WEIGHTS, *(MOMENTS if optimiser_steps(engine) else ()))
    entries: dict[str, Entry] = {}
    held: tuple[int, _Named, _Tensors] | None = None
    failure: Exception | None = None
    groups = list(buckets(engine.module, file_bytes, itemsize=4))
    for number, group in enumerate(groups):
        own = number % world == rank and failure is None
        tensors = _gather(engine, group, kinds, keep=own)
        held = (number, group, tensors) if own else held
        if held is not None and (number % world == world - 1 or number == len(groups) - 1):
            try:
                entries |= write_files(directory, held[0], held[2], [name for name, parameter in held[1] if parameter.requires_grad])
            except (OSError, SafetensorError) as error:
                failure = error
            held = None
    if failure is not None:
        raise CheckpointError(f"{directory}: cannot be written ({failure}); make room there, or set runs_dir to a disk that has some")
    return entries


def check_state(engine: Any, state: LearnerState, *, rank: int, world: int) -> None:
    """Raise CheckpointError unless `state` fits the module, and the share of it that this rank verifies is undamaged. Changes nothing."""
    ours = dict(engine.module.named_parameters())
    if problem := state.misfit({name: tuple(parameter.ds_shape) for name, parameter in ours.items()}):
        raise CheckpointError(f"{state.directory}: {problem}; use the `model` and `latent` sections of the run that wrote it")
    if extra := sorted(state.entries.keys() - ours.keys()):
        raise CheckpointError(f"{state.directory}: has {len(extra)} tensors that this run has not ({extra[0]}); use the run's own manifest")
    for name, parameter in ours.items():
        if state.entries[name].trained != parameter.requires_grad:
            was, now = ("trained", "frozen") if parameter.requires_grad is False else ("frozen", "trained")
            raise CheckpointError(f"{state.directory}: {name} was {was}, here it is {now}; set latent.offpolicy as it was")
    state.verify(list(ours)[rank::world])


def load_state(engine: Any, state: LearnerState, *, rank: int) -> None:
    """Give the engine the weights and the optimiser's state that were saved, whatever it did before; after `check_state` on all ranks.
    Collective.

    Low-precision parameters become casts of the master weights, as they are after every optimiser step.
    """
    optimizer = engine.optimizer
    optimizer.checkpoint_event_prologue()  # what is whole on this rank is partitioned
    _fresh_moments(engine, state.progress.optimiser_steps)
    for name, parameter in engine.module.named_parameters():
        _set(parameter, state, name, rank)
    for group in range(len(optimizer.fp32_partitioned_groups_flat)):
        optimizer._reassign_or_swap_out_partitioned_parameters(group)  # master weights -> parameters
    optimizer.checkpoint_event_epilogue()


def _fresh_moments(engine: Any, steps: int) -> None:
    """Adam as it is after `steps` steps, its moments 0; as it was born for 0."""
    adam = engine.optimizer.optimizer
    adam.state.clear()
    for flat in engine.optimizer.fp32_partitioned_groups_flat if steps else ():
        where = flat.device if adam.defaults["fused"] else "cpu"
        moments = {kind: torch.zeros_like(flat, requires_grad=False) for kind in MOMENTS}
        adam.state[flat] = {"step": torch.tensor(float(steps), device=where), **moments}


def _set(parameter: nn.Parameter, state: LearnerState, name: str, rank: int) -> None:
    from deepspeed.utils import safe_set_local_fp32_param, safe_set_local_optimizer_state

    entry, count = state.entries[name], parameter.ds_tensor.numel()
    if not entry.trained:
        parameter.ds_tensor.data.copy_(_slice(state.tensor(WEIGHTS, name), rank, count))
        return
    for kind in entry.fingerprints:
        own = _slice(state.tensor(kind, name), rank, count)
        if kind == WEIGHTS:
            safe_set_local_fp32_param(parameter, own)
        else:
            safe_set_local_optimizer_state(parameter, own, kind)


def _slice(whole: Tensor, rank: int, count: int) -> Tensor:
    """The `count` elements of a rank, zeros behind the end of the tensor: ZeRO-3 pads where the ranks do not divide it."""
    own = whole.view(-1)[rank * count : (rank + 1) * count]
    return torch.nn.functional.pad(own, (0, count - own.numel()))


def _gather(engine: Any, group: _Named, kinds: tuple[str, ...], *, keep: bool) -> _Tensors:
    """Whole tensors of a group of parameters on the CPU; {} on a rank that does not keep them. Collective."""
    import deepspeed

    found: _Tensors = {kind: {} for kind in kinds}
    for name, parameter in group:
        if parameter.requires_grad:
            for kind in kinds:
                whole = engine.optimizer.get_full_hp_param(parameter, None if kind == WEIGHTS else kind)
                if keep:
                    found[kind][name] = whole.cpu()
        else:
            with deepspeed.zero.GatheredParameters([parameter]):
                if keep:
                    found[WEIGHTS][name] = parameter.detach().to("cpu", copy=True)
    return found if keep else {}
