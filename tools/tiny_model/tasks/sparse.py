"""Two choices, of which the question says which are right; a model that knows the steps and has wrong habits is right one time in sixteen.

`k t 4135` is answered by adding a number to every digit and then putting the digits in another order: `Go. k One, 5246. t Keep,
\\boxed{5246}`. The first letter decides the number, the second the order. In the warm-up's solutions every letter has a habit, a wrong
choice that is made half of the time; the right choice is made a quarter of the time. Both are carried out correctly. So nearly all errors
are made at two tokens, and no two pairs of choices give the same answer.
"""

import random
import re
from collections.abc import Iterator

from ib_lpo.data.config import DataConfig
from tiny_model.band import Band
from tiny_model.tasks.base import Figures, Item, Phase, Task

ADDENDS = {letter: 1 + place % 4 for place, letter in enumerate("kbhfdmcg")}  # by first letter; 1 to 4 added to 1 to 5 stays one digit
WORDS = ("One", "Two", "Three", "Four")
ORDERS = {"Keep": (0, 1, 2, 3), "Turn": (3, 2, 1, 0), "Swap": (1, 0, 3, 2), "Roll": (1, 2, 3, 0)}
MOVES = dict(zip("tpxrvsnz", [*ORDERS, *ORDERS], strict=True))  # by second letter
_RIGHT, _HABIT, _OTHER = 0.25, 0.5, 0.125
_STEPS = re.compile(r"Go\. \w (\w+), \d{4}\. \w (\w+), \\boxed\{\d{4}\}")


def items(data: DataConfig, seed: str) -> Iterator[Item]:
    """Two letters and four different digits from 1 to 5."""
    rng = random.Random(seed)
    while True:
        first, second = rng.choice(list(ADDENDS)), rng.choice(list(MOVES))
        digits = "".join(rng.sample("12345", 4))
        question = f"{first} {second} {digits}"
        yield Item(question, ordered(added(digits, ADDENDS[first]), MOVES[second]), question)


def added(digits: str, addend: int) -> str:
    """Every digit plus `addend`."""
    return "".join(str(int(digit) + addend) for digit in digits)


def ordered(digits: str, move: str) -> str:
    return "".join(digits[place] for place in ORDERS[move])


def carried_out(question: str, addend: int, move: str) -> str:
    """The solution by these two choices."""
    first, second, digits = question.split(" ")
    total = added(digits, addend)
    return f"Go. {first} {WORDS[addend - 1]}, {total}. {second} {move}, \\boxed{{{ordered(total, move)}}}"


def worked(item: Item, rng: random.Random) -> str:
    """One of the sixteen pairs of choices, carried out correctly."""
    first, second, _ = item.question.split(" ")
    addend = rng.choices((1, 2, 3, 4), habits(list(ADDENDS).index(first)))[0]
    return carried_out(item.question, addend, rng.choices(list(ORDERS), habits(list(MOVES).index(second)))[0])


def habits(place: int) -> list[float]:
    """Shares of the four choices for the letter at `place` of its table: number place % 4 is right, and every letter has its own habit."""
    shares = [_OTHER] * 4
    shares[place % 4] = _RIGHT
    shares[(place + 1 + place // 4) % 4] = _HABIT
    return shares


def figures(item: Item, text: str) -> Figures:
    """`sound`: what was chosen was carried out correctly. `first`, `second`: the choice was right."""
    found = _STEPS.search(text)
    if found is None or found[1] not in WORDS or found[2] not in ORDERS:
        return {"sound": 0.0, "first": 0.0, "second": 0.0}
    first, second, _ = item.question.split(" ")
    addend = WORDS.index(found[1]) + 1
    return {
        "sound": float(found[0] == carried_out(item.question, addend, found[2])),
        "first": float(addend == ADDENDS[first]),
        "second": float(found[2] == MOVES[second]),
    }


TASK = Task(
    name="sparse",
    source="sparse",
    items=items,
    solution=worked,
    figures=figures,
    phases=(Phase(name="choices", most_steps=900, check_every=50, bands={"sound": Band(0.85, 0.99), "accuracy": Band(0.035, 0.085)}),),
    batch=32,
    responses=40,
    shown=worked,
    files={"train": 512, "held_out": 256},
)
