"""Prompts with worked solutions: endless, and never of a question that is held out or that checks are made with."""

import random
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from tiny_model.recipe import Recipe
from tiny_model.tasks.base import Item


class Example(NamedTuple):
    """One supervised pair."""

    prompt: str
    response: str  # without the end token


def fresh_items(recipe: Recipe, count: int, *, held_out: set[str], stream: str) -> list[Item]:
    """`count` different questions, none of them in `held_out`. `stream` separates one use from another."""
    source = recipe.task.items(recipe.data, f"{recipe.seed} {stream}")
    found: dict[str, Item] = {}
    for item in source:
        if item.question not in held_out:
            found.setdefault(item.question, item)
        if len(found) == count:
            break
    return list(found.values())


def examples(recipe: Recipe, *, bare: bool, held_out: set[str], stream: str) -> Iterator[Example]:
    """Endless examples; `held_out` are question texts to leave out."""
    rng = random.Random(f"{recipe.seed} {stream} solutions")
    for item in recipe.task.items(recipe.data, f"{recipe.seed} {stream}"):
        if item.question not in held_out:
            yield Example(prompt_of(recipe, item, bare=bare), recipe.task.solution(item, rng))


def prompt_of(recipe: Recipe, item: Item, *, bare: bool) -> str:
    return item.bare if bare else recipe.data.template.format(q=item.question)


def batches(source: Iterator[Example], size: int, rng: random.Random, *, window: int = 16) -> Iterator[list[Example]]:
    """Endless batches in random order, those of `window` batches sorted by length."""
    while True:
        ordered = sorted(islice(source, size * window), key=lambda e: len(e.prompt) + len(e.response))
        starts = list(range(0, len(ordered), size))
        rng.shuffle(starts)
        yield from (ordered[start : start + size] for start in starts)
