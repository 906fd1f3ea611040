"""Prompts with worked solutions, drawn from the generator of the manifest but never from its held-out questions."""

import random
from collections.abc import Iterator
from typing import NamedTuple

import reasoning_gym

from tiny_model.arithmetic import parse, solution
from tiny_model.recipe import Recipe

_FIRST_SEED = 1 << 40  # reasoning-gym makes item i from seed + i, so sources with nearby seeds share items
_WINDOW = 16  # batches sorted by length together, so that little is padded


class Example(NamedTuple):
    """One supervised pair."""

    prompt: str
    response: str  # without the end token


def bare_prompt(expression: str) -> str:
    """The prompt of the bare phase."""
    return f"{expression} =\n"


def examples(recipe: Recipe, *, bare: bool, held_out: set[str], stream: int) -> Iterator[Example]:
    """Endless examples; `held_out` are question texts to leave out, `stream` separates one use from another."""
    rng = random.Random(f"{recipe.seed} {stream}")
    items = reasoning_gym.create_dataset(
        recipe.data.train.name, seed=_FIRST_SEED * (stream + 1), size=_FIRST_SEED, **recipe.data.train.options
    )
    for item in (items[index] for index in range(len(items))):
        if item["question"] in held_out:
            continue
        expression = item["metadata"]["expression"]
        prompt = bare_prompt(expression) if bare else recipe.data.template.format(q=item["question"])
        yield Example(prompt, solution(parse(expression), rng, recipe.styles))


def batches(source: Iterator[Example], size: int, rng: random.Random) -> Iterator[list[Example]]:
    """Endless batches of examples of like length, in random order."""
    while True:
        window = sorted((next(source) for _ in range(size * _WINDOW)), key=lambda e: len(e.prompt) + len(e.response))
        starts = list(range(0, len(window), size))
        rng.shuffle(starts)
        yield from (window[start : start + size] for start in starts)
