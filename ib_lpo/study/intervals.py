"""Student's t intervals over seeds; pure. Seeds are few, so neither a bootstrap nor the normal quantile would do."""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from ib_lpo.bootstrap import Estimate

FEWEST = 3  # values that an interval may rest on


def t_interval(values: Sequence[float]) -> Estimate | None:
    """Mean and 95 % interval, mean ± t s / √n, s the sample standard deviation; None of no values.

    No interval of fewer than FEWEST values, nor of values that are all alike, which do not say how far off it may be.
    """
    if not values:
        return None
    mean = math.fsum(values) / len(values)
    if len(values) < FEWEST or min(values) == max(values):
        return Estimate(mean=mean, low=None, high=None)
    half = quantile(len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Estimate(mean=mean, low=mean - half, high=mean + half)


@cache
def quantile(freedom: int, within: float = 0.95) -> float:
    """The t for which |T| < t with probability `within`, T Student's with `freedom` degrees of freedom; to 1e-9."""
    low, high = 0.0, 1.0
    while _within(high, freedom) < within:
        high *= 2
    while high - low > 1e-9 * high:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _within(middle, freedom) < within else (low, middle)
    return high


def _within(t: float, freedom: int) -> float:
    """P(|T| < t), the finite series of Abramowitz and Stegun 26.7.3 and 26.7.4. Raises ValueError for freedom < 1."""
    if freedom < 1:
        raise ValueError(f"{freedom} degrees of freedom; two values have one")
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(2 + odd, freedom - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
