"""DeepSpeed ZeRO-3: joining the group, building the engine, and streaming whole weights out of it.

Everything here is collective: all ranks call it in the same order. Nothing here compiles an extension.
"""

import os
import socket
import warnings
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn

from ib_lpo.learner.config import LearnerConfig


def free_endpoint() -> tuple[str, int]:
    """The address of the interface that leads outside (nothing is sent), and a port that is free now."""
    with socket.socket() as listener, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        listener.bind(("", 0))
        port = listener.getsockname()[1]
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1
        except OSError:  # no route: a machine on its own
            return "127.0.0.1", port
        return probe.getsockname()[0], port


def join_group(host: str, port: int, *, rank: int, world: int, deadline_s: float) -> None:
    """torch.distributed through DeepSpeed; collectives fail after `deadline_s`. An existing default group of this process is used."""
    place = {"MASTER_ADDR": host, "MASTER_PORT": port, "RANK": rank, "WORLD_SIZE": world, "LOCAL_RANK": 0}
    os.environ.update({name: str(value) for name, value in place.items()})
    import deepspeed
    from deepspeed.accelerator import get_accelerator

    warnings.filterwarnings("ignore", message=r"`torch\.distributed\.\w+` is deprecated", category=FutureWarning)
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # building this extension takes minutes and may hang
    deepspeed.init_distributed(
        dist_backend=get_accelerator().communication_backend_name(),
        timeout=timedelta(seconds=deadline_s),
        auto_mpi_discovery=False,
        verbose=False,
    )


def build_engine(module: nn.Module, config: LearnerConfig, dtype: torch.dtype, device: str) -> Any:
    """The ZeRO-3 engine with AdamW and linear warm-up. Collective."""
    import deepspeed

    settings = _engine_settings(config, dtype)
    deepspeed.zero.Init(
        module=module, config_dict_or_path=settings, dtype=dtype
    )  # parameter by parameter: no rank holds it whole on its device
    for buffer in module.buffers():
        buffer.data = buffer.data.to(device)
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=config.lr, betas=config.betas, weight_decay=config.weight_decay, fused=device.startswith("cuda")
    )
    engine, *_ = deepspeed.initialize(
        model=module,
        optimizer=optimizer,
        lr_scheduler=lambda inner: torch.optim.lr_scheduler.LambdaLR(
            inner, lambda step: min(1.0, (step + 1) / max(1, config.warmup_steps))
        ),
        config=settings,
    )
    return engine


def _engine_settings(config: LearnerConfig, dtype: torch.dtype) -> dict[str, Any]:
    low = dtype == torch.bfloat16
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "managed_gradient_accumulation": False,  # as many backward passes per step as there are micro-batches
        "gradient_clipping": config.grad_clip,
        "zero_allow_untested_optimizer": True,
        "zero_optimization": {"stage": 3, "overlap_comm": False, "reduce_scatter": True},
        "bf16": {"enabled": low},
        "data_types": {"grad_accum_dtype": "fp32"},
        "steps_per_print": 1 << 30,
    }


def whole_weights(policy: nn.Module, bucket_bytes: int, *, keep: bool) -> Iterator[tuple[str, Tensor]]:
    """Copies of the policy's parameters by checkpoint name, about `bucket_bytes` gathered at a time, tied ones once.

    Collective: every rank must run it to its end. Only ranks with `keep` copy and yield.
    """
    import deepspeed

    for group in _groups(policy, bucket_bytes):
        with deepspeed.zero.GatheredParameters([parameter for _, parameter in group]):
            copies = [(name, parameter.detach().clone()) for name, parameter in group] if keep else []
        yield from copies


def _groups(policy: nn.Module, bucket_bytes: int) -> Iterator[list[tuple[str, nn.Parameter]]]:
    group: list[tuple[str, nn.Parameter]] = []
    size = 0
    for name, parameter in policy.named_parameters():
        nbytes = parameter.ds_numel * parameter.element_size()
        if group and size + nbytes > bucket_bytes:
            yield group
            group, size = [], 0
        group.append((name, parameter))
        size += nbytes
    if group:
        yield group
