"""A module whose parameters no number of ranks above one divides, and what ranks do with it."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ib_lpo.checkpoints.learner_state import LearnerState, Part, Progress
from ib_lpo.learner import zero, zero_state
from ib_lpo.learner.config import LearnerConfig

CONFIG = LearnerConfig(lr=0.01, psa_lr=0.02, grad_clip=0.5)
WIDE, NARROW = 331, 323  # their product is above DeepSpeed's size of parameters that stay whole on every rank
FILE_BYTES = 200_000  # several files per rank


class Odd(nn.Module):
    """A large and a small matrix, biases, and a frozen table."""

    def __init__(self, *, train_maps: bool, seed: int):
        super().__init__()
        torch.manual_seed(seed)
        self.policy = nn.Sequential(nn.Linear(NARROW, WIDE), nn.Tanh(), nn.Linear(WIDE, 7))
        self.maps = nn.Linear(7, 5)
        self.table = nn.Parameter(torch.randn(WIDE, WIDE), requires_grad=False)
        self.maps.requires_grad_(train_maps)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.policy[1](self.policy[0](x))
        return self.maps(self.policy[2](hidden + hidden @ self.table * 0.1).tanh())


def build(train_maps: bool, dtype: torch.dtype, seed: int) -> Any:
    return zero.build_engine(Odd(train_maps=train_maps, seed=seed).to(dtype), CONFIG, dtype, "cpu")


def step(engine: Any, index: int, config: LearnerConfig = CONFIG) -> None:
    """One optimiser step on a batch that is the same on every rank, so that their mean is that of one rank."""
    zero.set_rates(engine, 1, config, 9)
    zero.fresh_gradients(engine)
    dtype = next(engine.module.parameters()).dtype
    x = torch.randn(4, NARROW, generator=torch.Generator().manual_seed(index)).to(dtype)
    engine.backward(engine(x).float().square().mean(), scale_wrt_gas=False)
    zero.apply(engine)


def weights(engine: Any) -> dict[str, Tensor]:
    """Live parameters, and the optimiser's count of steps."""
    found = {name: tensor.clone() for name, tensor in zero.whole_weights(engine.module, 1 << 20, keep=True)}
    return found | {"steps": torch.tensor(zero_state.optimiser_steps(engine))}


def save(engine: Any, directory: Path, rank: int, world: int, last_step: int = 1) -> Part:
    entries = zero_state.save_state(engine, directory, rank=rank, world=world, file_bytes=FILE_BYTES)
    return Part(entries, Progress(last_step=last_step, optimiser_steps=zero_state.optimiser_steps(engine), dtype="float32"))


def load(engine: Any, directory: Path, rank: int, world: int) -> None:
    state = LearnerState(directory)
    zero_state.check_state(engine, state, rank=rank, world=world)
    zero_state.load_state(engine, state, rank=rank)


def save_and_go_on(rank: int, world: int, directory: Path, train_maps: bool, dtype: torch.dtype, steps: int) -> tuple[Part, dict, dict]:
    """Some steps, a checkpoint; what it holds, the live weights then, and those of one more step."""
    engine = build(train_maps, dtype, seed=1)
    for index in range(steps):
        step(engine, index)
    part, saved = save(engine, directory, rank, world), weights(engine)
    step(engine, 99)
    after = weights(engine)
    engine.destroy()
    return part, saved, after


def load_and_go_on(
    rank: int, world: int, directory: Path, train_maps: bool, dtype: torch.dtype, again: Path | None
) -> tuple[Part | None, dict, dict]:
    """Another engine, which has made a step of its own, loads: what it saves as then (to `again`), its weights, and those a step later."""
    engine = build(train_maps, dtype, seed=2)
    step(engine, 50, CONFIG.model_copy(update={"lr": 0.3}))
    load(engine, directory, rank, world)
    part = None if again is None else save(engine, again, rank, world)
    loaded = weights(engine)
    step(engine, 99)
    after = weights(engine)
    engine.destroy()
    return part, loaded, after


def fail_and_save(rank: int, world: int, nowhere: Path, somewhere: Path) -> tuple[str, Part]:
    """What an unwritable directory ends in, and a checkpoint of the same ranks after that."""
    engine = build(True, torch.float32, seed=1)
    step(engine, 0)
    message = ""
    try:
        save(engine, nowhere, rank, world)
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
    part = save(engine, somewhere, rank, world)
    engine.destroy()
    return message, part


def refusal(rank: int, world: int, directory: Path, train_maps: bool) -> tuple[str, bool]:
    """What `load` refuses with, and whether all is as before."""
    engine = build(train_maps, torch.float32, seed=1)
    before, message = weights(engine), ""
    try:
        zero_state.check_state(engine, LearnerState(directory), rank=rank, world=world)
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
    after = weights(engine)
    engine.destroy()
    return message, all(torch.equal(before[name], after[name]) for name in before)
