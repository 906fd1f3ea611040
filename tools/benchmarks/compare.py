"""Fair comparison of variants on a machine that is not quiet.

Invariant: all variants of a comparison run in the same process and take turns, each round in another order, so that whatever
else the machine does hits all of them. The first round warms up and is not counted.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import median

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Samples of several variants of one thing."""

    title: str
    unit: str
    samples: Mapping[str, list[float]]  # variant -> one number per round; the first variant is what the others are compared with
    note: str = ""  # sentences to be shown with the table
    paired: bool = False  # whether the variants ran side by side, so that a round's numbers share its circumstances

    def ratio(self, variant: str) -> float:
        """Median of `variant` over the median of the first variant; paired: the median of the rounds' own ratios."""
        first = self.samples[next(iter(self.samples))]
        if self.paired:
            return median(b / a for a, b in zip(first, self.samples[variant], strict=True))
        return median(self.samples[variant]) / median(first)

    def noted(self, note: str) -> "Comparison":
        """The same with a note."""
        return replace(self, note=note)


def alternate(title: str, unit: str, variants: Mapping[str, Callable[[], float]], rounds: int, warm: bool = False) -> Comparison:
    """Measure every variant once per round. A variant is a function that does the work and returns its number; `warm`: no round is lost."""
    names = list(variants)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(0 if warm else -1, rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            number = variants[name]()
            if turn >= 0:
                samples[name].append(number)
    return Comparison(title=title, unit=unit, samples=samples)


def interleave(title: str, unit: str, variants: Mapping[str, Callable[[], Iterator[int]]], rounds: int, device: str) -> Comparison:
    """Work per second of every variant, where variants take turns piece by piece.

    A variant is a generator: what it does up to its first `yield` is not counted, then every piece of work yields its amount. A round
    ends when all are exhausted. Noise that lasts longer than a piece hits all variants alike.
    """
    samples: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(-1, rounds):
        running = {name: variant() for name, variant in variants.items()}
        for pieces in running.values():
            next(pieces)
        amounts, seconds = dict.fromkeys(running, 0), dict.fromkeys(running, 0.0)
        left, order = list(running), random.Random(turn)
        while left:
            for name in order.sample(left, len(left)):  # who comes after whom matters too: it finds the caches as the other left them
                started = clock(device)
                amount = next(running[name], None)
                if amount is None:
                    left.remove(name)
                    continue
                seconds[name] += clock(device) - started
                amounts[name] += amount
        if turn >= 0:
            for name in samples:
                samples[name].append(amounts[name] / seconds[name])
    return Comparison(title=title, unit=unit, samples=samples, paired=True)


def goal(least: float, reached: float) -> str:
    """One sentence."""
    return f"goal {least:g} {'met' if reached >= least else 'missed'} with {reached:.2f}."


def clock(device: str) -> float:
    """Seconds. On CPU those of this process, which another process's work does not lengthen; all work is on one thread."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()
