"""A run's metrics.jsonl boiled down: its two ends, and totals over all steps."""

from collections.abc import Mapping, Sequence

Line = Mapping[str, float]

_SUMS = (
    "sampling/questions",
    "sampling/silent",
    "sampling/surplus",
    "grow/forks",
    "grow/unforked",
    "grow/cache_misses",
    "filter/kept",
    "filter/pruned",
    "grade/unverifiable",
    "publish/syncs",
)
_MEANS = (
    "grade/reward",
    "grow/entropy",
    "grow/cached_share",
    "mismatch/mean_abs",
    "mismatch/z_gap",
    "ib/tokens_per_trajectory",
    "learner/tree_token_ratio",
    "learner/padding",
    "learner/waiting",
)
_LARGEST = ("mismatch/max_abs",)


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
    """Sums of counts, failures, alarms and seconds, means of means, the largest of largests; steps without the metric are left out."""
    found = sorted({name for line in lines for name in line if name.startswith(("seconds/", "alarms/", "failure/"))})
    kinds = [(name, sum) for name in (*_SUMS, *found)] + [(name, _mean) for name in _MEANS] + [(name, max) for name in _LARGEST]
    values = {name: [line[name] for line in lines if line.get(name) is not None] for name, _ in kinds}
    return {name: reduce(values[name]) for name, reduce in kinds if values[name]}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
