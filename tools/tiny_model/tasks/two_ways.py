"""Sums of two-digit numbers by a short way that forgets the carry, and a long way that writes it down.

`34 + 52`: `How? Fast: \\boxed{86}`, or `How? Slow: 4 + 2 = 6. 3 + 5 + 0 = 8. \\boxed{86}`. Without a carry (half of the questions) both are
right; with one the short way is wrong. The warm-up takes the short way most of the time, whatever the question, so the long way is also
the less practised.
"""

import random
from collections.abc import Iterator

from ib_lpo.data.config import DataConfig
from ib_lpo.scoring.answer_text import find_answer
from tiny_model.band import Band
from tiny_model.tasks.base import Figures, Item, Phase, Task

LONG_SHARE = 0.12  # of the warm-up's solutions


def items(data: DataConfig, seed: str) -> Iterator[Item]:
    """Two numbers from 10 to 89 with a sum below 100; as many hard questions as easy ones."""
    rng = random.Random(seed)
    while True:
        hard = rng.random() < 0.5
        while True:
            a, b = rng.randint(10, 89), rng.randint(10, 89)
            if a + b < 100 and carries(a, b) == hard:
                break
        yield Item(f"{a} + {b}", str(a + b), f"{a} + {b}")


def carries(a: int, b: int) -> bool:
    """Whether the ones add up to ten or more: the question is hard."""
    return a % 10 + b % 10 > 9


def short(a: int, b: int) -> str:
    """Column by column, the carry forgotten."""
    return f"How? Fast: \\boxed{{{a // 10 + b // 10}{(a + b) % 10}}}"


def long(a: int, b: int) -> str:
    """Ones, then tens with the carry."""
    ones = a % 10 + b % 10
    return f"How? Slow: {a % 10} + {b % 10} = {ones}. {a // 10} + {b // 10} + {ones // 10} = {(a + b) // 10}. \\boxed{{{a + b}}}"


def terms(item: Item) -> tuple[int, int]:
    a, b = item.question.split(" + ")
    return int(a), int(b)


def worked(item: Item, rng: random.Random) -> str:
    """The long way now and then."""
    return (long if rng.random() < LONG_SHARE else short)(*terms(item))


def shown(item: Item, rng: random.Random) -> str:
    """Each way as often as the other."""
    return rng.choice((short, long))(*terms(item))


def figures(item: Item, text: str) -> Figures:
    """`long`: the long way was taken; accuracy of each way, the short one's by kind of question."""
    found = find_answer(text)
    right, slow, hard = float(found is not None and found.expression == item.answer), text.startswith("How? Slow"), carries(*terms(item))
    return {
        "long": float(slow),
        "long on hard": float(slow) if hard else None,
        "accuracy, long": right if slow else None,
        "accuracy, short, easy": None if slow or hard else right,
        "accuracy, short, hard": right if hard and not slow else None,
    }


TASK = Task(
    name="two_ways",
    source="two_ways",
    items=items,
    solution=worked,
    figures=figures,
    phases=(
        Phase(
            name="ways",
            most_steps=900,
            check_every=50,
            bands={"accuracy, long": Band(0.4, 0.75), "long": Band(0.09, 0.16), "accuracy": Band(0.42, 0.58)},
        ),
    ),
    batch=32,
    window=1,
    responses=48,
    shown=shown,
    files={"train": 512, "held_out": 256},
)
