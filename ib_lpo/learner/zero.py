"""DeepSpeed ZeRO-3: joining the group, building engines, applying gradients, and streaming whole weights out.

Everything here is collective: all ranks call it in the same order. That holds inside a forward pass too: gathering a module's
parameters is a collective, so all ranks run the same modules in the same order, whatever their data. Nothing here compiles an extension.
"""

import os
import warnings
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ib_lpo.fleet.address import listen, node_address
from ib_lpo.learner.config import LearnerConfig
from ib_lpo.learner.schedule import rates


def free_endpoint() -> tuple[str, int]:
    """An address of this machine that the other ranks reach, and a port of it that is free now."""
    host = node_address()
    with listen(host) as listener:
        return host, listener.getsockname()[1]


def join_group(host: str, port: int, *, rank: int, world: int, deadline_s: float) -> None:
    """torch.distributed through DeepSpeed; collectives fail after `deadline_s`. An existing default group of this process is used."""
    place = {"MASTER_ADDR": host, "MASTER_PORT": port, "RANK": rank, "WORLD_SIZE": world, "LOCAL_RANK": 0}
    os.environ.update({name: str(value) for name, value in place.items()})
    import deepspeed
    from deepspeed.accelerator import get_accelerator

    warnings.filterwarnings("ignore", message=r"`torch\.distributed\.\w+` is deprecated", category=FutureWarning)
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # building this extension takes minutes and may hang
    backend, limit = get_accelerator().communication_backend_name(), timedelta(seconds=deadline_s)
    if not dist.is_initialized():
        store = _store(host, port, rank=rank, world=world, limit=limit)
        dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=limit)
    deepspeed.init_distributed(dist_backend=backend, timeout=limit, auto_mpi_discovery=False, verbose=False)


def _store(host: str, port: int, *, rank: int, world: int, limit: timedelta) -> dist.TCPStore:
    """Rank 0 serves it at `host` alone: left to itself, a TCPStore listens on every interface of the machine."""
    listener = listen(host, port).detach() if rank == 0 else None
    return dist.TCPStore(host, port, world, is_master=rank == 0, timeout=limit, master_listen_fd=listener)


def build_engine(module: nn.Module, config: LearnerConfig, dtype: torch.dtype, device: str) -> Any:
    """The ZeRO-3 engine that trains what in `module` requires a gradient: AdamW, with parameter groups named `policy` and `psa`.

    `psa` are the parameters of `module.maps` (None without any), `policy` all others; a group with nothing to train does not exist.
    Frozen parameters are sharded, gathered and saved in checkpoints like the others. `set_rates` belongs before each training step.
    Collective.
    """
    import deepspeed

    settings = _settings(dtype) | {"gradient_clipping": config.grad_clip}
    _shard(module, settings, dtype, device)
    optimizer = torch.optim.AdamW(
        _parameter_groups(module, config), betas=config.betas, weight_decay=config.weight_decay, fused=device.startswith("cuda")
    )
    return deepspeed.initialize(model=module, optimizer=optimizer, config=settings)[0]


def build_frozen_engine(module: nn.Module, dtype: torch.dtype, device: str, *, offload: bool) -> Any:
    """The ZeRO-3 engine of a module that is only evaluated; it has no optimiser and is part of no checkpoint. Collective.

    With `offload` its shards lie in page-locked CPU memory and come to the device module by module, for one forward pass.
    """
    import deepspeed

    settings = _settings(dtype)
    if offload:
        settings["zero_optimization"]["offload_param"] = {"device": "cpu", "pin_memory": True}
    module.requires_grad_(False).eval()
    _shard(module, settings, dtype, device)
    return deepspeed.initialize(model=module, config=settings)[0]


def _settings(dtype: torch.dtype) -> dict[str, Any]:
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "managed_gradient_accumulation": False,  # as many backward passes per step as there are micro-batches
        "zero_allow_untested_optimizer": True,
        "zero_optimization": {"stage": 3, "overlap_comm": False, "reduce_scatter": True},
        "bf16": {"enabled": dtype == torch.bfloat16},
        "data_types": {"grad_accum_dtype": "fp32"},
        "steps_per_print": 1 << 30,
    }


def _shard(module: nn.Module, settings: dict[str, Any], dtype: torch.dtype, device: str) -> None:
    """Parameter by parameter, so that no rank holds the module whole on its device. Buffers are copied to every rank's device."""
    import deepspeed

    deepspeed.zero.Init(module=module, config_dict_or_path=settings, dtype=dtype)
    for buffer in module.buffers():
        buffer.data = buffer.data.to(device)


def _parameter_groups(module: nn.Module, config: LearnerConfig) -> list[dict[str, Any]]:
    maps = set() if module.maps is None else set(module.maps.parameters())
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"name": "policy", "lr": config.lr, "params": [parameter for parameter in trained if parameter not in maps]},
        {"name": "psa", "lr": config.psa_lr, "params": [parameter for parameter in trained if parameter in maps]},
    ]
    return [group for group in groups if group["params"]]


def set_rates(engine: Any, step: int, config: LearnerConfig, total_steps: int) -> dict[str, float]:
    """Give the parameter groups the rates of training step `step`, and return them by name; before the step's first optimiser step.

    Nothing else sets a rate: an engine's steps and a load leave them as they are.
    """
    found = rates(config, step, total_steps)
    for group in engine.optimizer.param_groups:
        group["lr"] = found[group["name"]]
    return {group["name"]: group["lr"] for group in engine.optimizer.param_groups}


def fresh_gradients(engine: Any) -> None:
    """Forget all gradients; before the first backward pass of every optimiser step.

    Backward passes replace the gradients of the parameters that take part in them alone: without this, one that takes no part would
    move along its previous gradient again.
    """
    engine.optimizer.grad_partitions_flat_buffer.zero_()


def apply(engine: Any) -> float | None:
    """One optimiser step on the gradients since `fresh_gradients`, averaged over ranks. Returns their global norm before clipping.

    None when a gradient of any rank was not finite: then weights and optimiser state stay as they are, bit for bit, on every rank.
    """
    engine.step()
    return float(engine.get_global_grad_norm()) if engine.was_step_applied() else None


def whole_weights(module: nn.Module, bucket_bytes: int, *, keep: bool) -> Iterator[tuple[str, Tensor]]:
    """A module's parameters by name, about `bucket_bytes` gathered at a time, tied ones once; each holds until the next is asked for.

    Collective: every rank must run it to its end. Only ranks with `keep` yield.
    """
    import deepspeed

    for group in buckets(module, bucket_bytes):
        with deepspeed.zero.GatheredParameters([parameter for _, parameter in group]):
            if keep:
                yield from ((name, parameter.detach()) for name, parameter in group)


def buckets(module: nn.Module, most_bytes: int, itemsize: int | None = None) -> Iterator[list[tuple[str, nn.Parameter]]]:
    """Parameters, in order, of at most `most_bytes` together, where that holds one; tied ones once. `itemsize`: bytes per element, by
    default its own."""
    group: list[tuple[str, nn.Parameter]] = []
    size = 0
    for name, parameter in module.named_parameters():
        nbytes = parameter.ds_numel * (itemsize or parameter.element_size())
        if group and size + nbytes > most_bytes:
            yield group
            group, size = [], 0
        group.append((name, parameter))
        size += nbytes
    if group:
        yield group
