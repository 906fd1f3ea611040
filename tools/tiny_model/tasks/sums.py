"""Sums and differences of one-digit numbers (reasoning-gym's chain_sum), worked out in one of several ways, all of them right."""

import random
from collections.abc import Iterator

import reasoning_gym

from ib_lpo.data.config import DataConfig
from tiny_model.arithmetic import parse, solution
from tiny_model.band import Band
from tiny_model.tasks.base import Item, Phase, Task

STYLES = {"in_order": 2.0, "in_pairs": 1.0, "by_sign": 1.0, "at_once": 0.6}
_FIRST_SEED = 1 << 40  # reasoning-gym makes item i from seed + i, so sources with nearby seeds share items


def items(data: DataConfig, seed: str) -> Iterator[Item]:
    """From the generator of the manifest, at item seeds that no source of questions uses."""
    start = _FIRST_SEED * random.Random(seed).randint(1, 1 << 20)
    found = reasoning_gym.create_dataset(data.train.name, seed=start, size=_FIRST_SEED, **data.train.options)
    for item in (found[index] for index in range(len(found))):
        yield Item(item["question"], item["answer"], f"{item['metadata']['expression']} =\n")


def worked(item: Item, rng: random.Random) -> str:
    """In a style drawn at random."""
    return solution(parse(item.bare.removesuffix(" =\n")), rng, STYLES)


TASK = Task(
    name="sums",
    source="chain_sum",
    items=items,
    solution=worked,
    phases=(
        Phase(name="bare sums", bare=True, most_steps=1000, check_every=100, bands={"accuracy": Band(0.30)}),
        Phase(name="full prompt", most_steps=400, check_every=24, bands={"accuracy": Band(0.30, 0.38)}),
    ),
)
