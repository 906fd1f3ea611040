"""Fair comparison of variants on a machine that is not quiet.

Invariant: all variants of a comparison run in the same process and take turns, each round in another order, so that whatever
else the machine does hits all of them. The first round warms up and is not counted.
"""

import time
from collections.abc import Callable, Mapping
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

    def ratio(self, variant: str) -> float:
        """Median of `variant` over the median of the first variant."""
        return median(self.samples[variant]) / median(self.samples[next(iter(self.samples))])

    def noted(self, note: str) -> "Comparison":
        """The same with a note."""
        return replace(self, note=note)


def alternate(title: str, unit: str, variants: Mapping[str, Callable[[], float]], rounds: int) -> Comparison:
    """Measure every variant once per round. A variant is a function that does the work and returns its number."""
    names = list(variants)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-1, rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            number = variants[name]()
            if turn >= 0:
                samples[name].append(number)
    return Comparison(title=title, unit=unit, samples=samples)


def goal(least: float, reached: float) -> str:
    """One sentence."""
    return f"goal {least:g} {'met' if reached >= least else 'missed'} with {reached:.2f}."


def clock(device: str) -> float:
    """Seconds. On CPU those of this process, which another process's work does not lengthen; all work is on one thread."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()
