"""A run's metrics.jsonl boiled down: its two ends, and totals over all steps."""

from collections.abc import Callable, Mapping, Sequence

from ib_lpo.metrics.metric import Total
from ib_lpo.metrics.registry import describe

Line = Mapping[str, float]


def ends(lines: Sequence[Line]) -> tuple[dict[str, float], dict[str, float]]:
    """For each metric, its first and its last value in the run."""
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    for line in lines:
        known = {name: value for name, value in line.items() if value is not None}
        last |= known
        first = known | first
    return first, last


def totals(lines: Sequence[Line]) -> dict[str, float]:
    """For each metric that ib_lpo/metrics names, what its steps come to there (`Metric.total`): a sum of counts and seconds, a mean of
    means, the largest of largests. Steps without the metric are left out."""
    values: dict[str, list[float]] = {}
    for line in lines:
        for name, value in line.items():
            if value is not None:
                values.setdefault(name, []).append(value)
    return {name: _REDUCE[metric.total](found) for name, found in values.items() if (metric := describe(name)) is not None}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _last(values: Sequence[float]) -> float:
    return values[-1]


_REDUCE: dict[Total, Callable[[Sequence[float]], float]] = {"sum": sum, "mean": _mean, "max": max, "last": _last}
