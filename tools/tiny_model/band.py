"""Stopping a warm-up inside a band of accuracy.

Accuracy may rise faster than it is checked. A check above the band takes training back to the last state that was below it, to go on with a
lower learning rate and shorter intervals; so the band is met on processors whose rounding leads elsewhere. Pure: what trains is passed in.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ib_lpo.errors import UserError

_MARGIN = 0.75  # of a lower bound: figures above this share of it are near enough for the fine check
_RETREATS = 8


class BandError(UserError):
    """The warm-up did not stop inside its bands."""


@dataclass(frozen=True, slots=True)
class Band:
    """Figures from `low` to `high`, both included."""

    low: float
    high: float = 1.0

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}" if self.high < 1 else f"{self.low:g} or more"


class Trainee(Protocol):
    """A model in training."""

    def train(self, steps: int, rate: float) -> None:
        """Take `steps` optimiser steps at `rate` times the learning rate."""

    def check(self, *, fine: bool) -> Mapping[str, float]:
        """The figures now, over a few samples or, `fine`, over as many as decide."""

    def state(self) -> Any:
        """A copy of everything that `train` changes."""

    def restore(self, state: Any) -> None:
        """Go back to a copy, which stays usable."""


def reach(
    trainee: Trainee,
    bands: Mapping[str, Band],
    *,
    most_steps: int,
    check_every: int,
    report: Callable[[Mapping[str, float]], None] = lambda figures: None,
) -> Mapping[str, float]:
    """Train until every figure lies in its band, and return the figures of that check.

    Bands without an upper end are settled by the small check. A figure above its band counts once none is below its own. Raises
    BandError after `most_steps`, or after too many jumps over the bands.
    """
    bounded = any(band.high < 1 for band in bands.values())
    rate, interval, jumps, done = 1.0, check_every, 0, 0
    below, figures = trainee.state(), {}
    while done < most_steps:
        trainee.train(interval, rate)
        done += interval
        figures = trainee.check(fine=False)
        report(figures)
        near = bounded and not _low(figures, bands, _MARGIN)
        if near:
            figures = trainee.check(fine=True)
            report(figures)
            interval = min(interval, max(1, check_every // 4))
        if _low(figures, bands):
            below = trainee.state() if bounded else below
        elif not _high(figures, bands):
            return figures
        else:
            jumps += 1
            if jumps > _RETREATS:
                break
            trainee.restore(below)
            rate, interval = rate / 2, max(1, interval // 2)
    raise BandError(_message(figures, bands, done, jumps))


def _low(figures: Mapping[str, float], bands: Mapping[str, Band], share: float = 1.0) -> bool:
    return any(figures[name] < band.low * share for name, band in bands.items())


def _high(figures: Mapping[str, float], bands: Mapping[str, Band]) -> bool:
    return any(figures[name] > band.high for name, band in bands.items())


def _message(figures: Mapping[str, float], bands: Mapping[str, Band], steps: int, jumps: int) -> str:
    found = ", ".join(f"{name} {figures[name]:.3f} (wanted: {band})" for name, band in bands.items() if name in figures)
    return (
        f"the warm-up did not stop inside its bands in {steps} steps and {jumps} steps back: {found}; "
        f"give another --seed, or change the phases of the task (tools/tiny_model/tasks)"
    )
