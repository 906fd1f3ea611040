"""Held-out curves between their checks: straight lines over generated tokens, or over seconds; pure."""

from collections.abc import Mapping, Sequence

import numpy as np

Point = Mapping[str, float]
ACCURACY = "held_out/accuracy"


def value_at(curve: Sequence[Point], at: float, *, axis: str = "tokens", metric: str = ACCURACY) -> float | None:
    """`metric` where `axis` is `at`, by linear interpolation between checks. None beyond the last check and before the
    first: nothing is extrapolated."""
    points = _points(curve, axis, metric)
    if not points or not points[0][0] <= at <= points[-1][0]:
        return None
    return float(np.interp(at, *zip(*points, strict=True)))


def mean_until(curve: Sequence[Point], end: float, *, axis: str = "tokens", metric: str = ACCURACY) -> float | None:
    """Mean of `metric` over `axis` from the first check to `end`: the area under the straight lines over its length.
    None as `value_at`."""
    last = value_at(curve, end, axis=axis, metric=metric)
    if last is None:
        return None
    points = [point for point in _points(curve, axis, metric) if point[0] < end] + [(end, last)]
    x, y = (np.array(of, dtype=np.float64) for of in zip(*points, strict=True))
    return float(np.trapezoid(y, x) / (x[-1] - x[0])) if x[-1] > x[0] else float(y[-1])


def end_of(curve: Sequence[Point], axis: str = "tokens") -> float:
    """Where the last check lies; 0 without any."""
    return float(curve[-1][axis]) if curve else 0.0


def _points(curve: Sequence[Point], axis: str, metric: str) -> list[tuple[float, float]]:
    return [(float(point[axis]), float(point[metric])) for point in curve if metric in point]
