"""What a task is: questions, worked solutions for the warm-up, and the figures at which the warm-up stops."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ib_lpo.data.config import DataConfig
from tiny_model.band import Band

Figures = Mapping[str, float | None]  # per response; None: the figure says nothing about this response


class Item(NamedTuple):
    """One question."""

    question: str
    answer: str
    bare: str  # the shortest prompt that still asks it, for a phase that learns the steps themselves


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Supervised steps on one kind of prompt, ended once every figure in `bands` lies in its band."""

    name: str
    bare: bool = False  # whether the prompt is Item.bare; else the question in the manifest's template
    most_steps: int
    check_every: int  # steps between checks while the bands are far
    bands: Mapping[str, Band]  # by figure; `accuracy` is one of every task


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task. The bands of the last phase are those of the finished model."""

    name: str
    source: str  # the data.train.name that asks for this task
    items: Callable[[DataConfig, str], Iterator[Item]]  # endless, from a seed; the same on every machine
    solution: Callable[[Item, random.Random], str]  # a worked solution for the warm-up to imitate, at times a wrong one
    figures: Callable[[Item, str], Figures] = lambda item, text: {}  # of one response, beside its accuracy
    phases: tuple[Phase, ...]
    batch: int = 16  # sequences per supervised step
    window: int = 16  # batches sorted by length together, so that little is padded; 1 where length goes with what is chosen
    lr: float = 3e-3
    responses: int = 64  # most tokens of a sampled response
    files: Mapping[str, int] | None = None  # questions by file (train, held_out); None: the questions come from a generator
    shown: Callable[[Item, random.Random], str] | None = None  # a worked solution that a latent is fitted to; None: no such file
