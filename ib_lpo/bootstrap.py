"""Means of values, one per question or one difference per pair, with their bootstrap intervals; pure."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean with its 95 % interval; without one where the values say nothing about how far off it may be."""

    mean: float
    low: float | None
    high: float | None

    @property
    def excludes_zero(self) -> bool:
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def shown(self, form: str, scale: float = 1.0) -> str:
        """mean [low, high], each times `scale`, or the mean alone; `form` is the numbers' format."""
        mean, *ends = (format(scale * value, form) for value in (self.mean, self.low, self.high) if value is not None)
        return f"{mean} [{', '.join(ends)}]" if ends else mean


def bootstrap(values: np.ndarray, *, resamples: int, rng: np.random.Generator) -> Estimate:
    """Mean of values [N] and the percentile interval of means of N drawn with replacement. N >= 1.

    Values that are all alike, and a single one, have no interval: they do not say how far others lie away.
    """
    if np.ptp(values) == 0:
        return Estimate(mean=float(values[0]), low=None, high=None)
    drawn = rng.integers(len(values), size=(resamples, len(values)))
    low, high = np.quantile(values[drawn].mean(1), [0.025, 0.975])
    return Estimate(mean=float(values.mean()), low=float(low), high=float(high))
