"""What the ZeRO-3 tests run inside two real ranks: actors of one process group, and functions of (rank, ...) they execute together."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ib_lpo.learner import zero
from ib_lpo.learner.config import LearnerConfig

WIDTH = 320  # a WIDTH x WIDTH matrix is above DeepSpeed's size of parameters that stay whole on every rank
CONFIG = LearnerConfig(lr=0.01, psa_lr=0.02, grad_clip=0.5)


class Rank:
    """One process of the group."""

    def endpoint(self) -> tuple[str, int]:
        return zero.free_endpoint()

    def join(self, host: str, port: int, rank: int, world: int) -> None:
        """After this, compiling an extension is an error."""
        from deepspeed.ops.op_builder.builder import OpBuilder

        OpBuilder.jit_load = _refuse
        self._rank = rank
        zero.join_group(host, port, rank=rank, world=world, deadline_s=60)

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(self._rank, *args)


def _refuse(builder: Any, *_: Any, **__: Any) -> None:
    raise RuntimeError(f"DeepSpeed wants to compile {builder.name}")


class Ranks:
    """Both processes; every call runs in both at once. Returns their results in order."""

    def __init__(self, fleet, world: int = 2):
        self._workers = [fleet.spawn(Rank, name=f"rank-{rank}") for rank in range(world)]
        host, port = self._workers[0].call("endpoint").result()
        self._wait([worker.call("join", host, port, rank, world) for rank, worker in enumerate(self._workers)])

    def run(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        return self._wait([worker.call("run", function, *args) for worker in self._workers])

    def _wait(self, pending: list[Any]) -> list[Any]:
        return [p.result() for p in pending]


class Toy(nn.Module):
    """A policy and maps that both take part in every forward pass."""

    def __init__(self, *, train_maps: bool, seed: int = 1):
        super().__init__()
        torch.manual_seed(seed)
        self.policy, self.maps = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.maps.requires_grad_(train_maps)

    def forward(self, x: Tensor) -> Tensor:
        return self.policy(x).tanh() + self.maps(x).tanh()


def batch(rank: int, index: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(4, WIDTH, generator=torch.Generator().manual_seed(10 * index + rank)).to(dtype)


def toy_engine(*, train_maps: bool, dtype: torch.dtype = torch.float32, seed: int = 1) -> Any:
    return zero.build_engine(Toy(train_maps=train_maps, seed=seed), CONFIG, dtype, "cpu")


def optimiser_step(engine: Any, rank: int, index: int, *, factor: float = 1.0) -> float | None:
    """Two micro-batches; the second one's loss is multiplied by `factor`."""
    dtype = next(engine.module.parameters()).dtype
    zero.fresh_gradients(engine)
    for micro, scale in enumerate((1.0, factor)):
        engine.backward(engine(batch(rank, 2 * index + micro, dtype)).float().square().mean() * scale, scale_wrt_gas=False)
    return zero.apply(engine)


def weights(engine: Any) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in zero.whole_weights(engine.module, 1 << 20, keep=True)}


def run_steps(rank: int, dtype: torch.dtype, poison: dict[int, float], order: list[int]) -> tuple[list[float | None], list[dict], int]:
    """Steps with the batches of `order`; rank 1's loss in the step of batch i is multiplied by poison[i]. Norms, weights from the start on,
    and DeepSpeed's count of skipped steps."""
    engine = toy_engine(train_maps=True, dtype=dtype)
    norms, states = [], [weights(engine)]
    for index in order:
        norms.append(optimiser_step(engine, rank, index, factor=poison.get(index, 1.0) if rank == 1 else 1.0))
        states.append(weights(engine))
    skipped = engine.skipped_steps
    engine.destroy()
    return norms, states, skipped


def plain_steps(order: list[int], world: int) -> tuple[list[float], dict[str, Tensor]]:
    """The same in one process of plain PyTorch, float32."""
    module = Toy(train_maps=True)
    groups = [{"params": module.policy.parameters(), "lr": CONFIG.lr}, {"params": module.maps.parameters(), "lr": CONFIG.psa_lr}]
    optimizer = torch.optim.AdamW(groups, betas=CONFIG.betas, weight_decay=CONFIG.weight_decay)
    norms = []
    for index in order:
        optimizer.zero_grad()
        losses = [module(batch(rank, 2 * index + micro, torch.float32)).square().mean() for rank in range(world) for micro in (0, 1)]
        (sum(losses) / world).backward()
        norms.append(float(nn.utils.clip_grad_norm_(module.parameters(), CONFIG.grad_clip)))
        optimizer.step()
    return norms, {name: parameter.detach() for name, parameter in module.named_parameters()}


def groups(rank: int, train_maps: bool) -> list[tuple[str, float]]:
    engine = toy_engine(train_maps=train_maps)
    found = [(group["name"], group["lr"]) for group in engine.optimizer.param_groups]
    engine.destroy()
    return found


def moved(rank: int, steps: list[int], total_steps: int) -> list[dict[str, float]]:
    """Largest change of each parameter in each training step, with a linear schedule. Adam without memory moves by the rate."""
    config = CONFIG.model_copy(update={"betas": (0.0, 0.0), "lr_schedule": "linear"})
    engine = zero.build_engine(Toy(train_maps=True), config, torch.float32, "cpu")
    found, before = [], weights(engine)
    for step in steps:
        zero.set_rates(engine, step, config, total_steps)
        optimiser_step(engine, rank, step)
        after = weights(engine)
        found.append({name: float((after[name] - before[name]).abs().max()) for name in after})
        before = after
    engine.destroy()
    return found
