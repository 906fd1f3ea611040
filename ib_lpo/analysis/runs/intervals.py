"""Intervals of what runs measure; pure.

The unit is the question: the responses to one question are alike, also in several steps, so resampling them as if they were independent
would give intervals that are too narrow. Every question weighs the same, however many responses it has and however often it came.
"""

from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from ib_lpo.bootstrap import Estimate, bootstrap

Bounds = tuple[float, float]
SHARE: Bounds = (0.0, 1.0)
AMOUNT: Bounds = (0.0, np.inf)
ANY: Bounds = (-np.inf, np.inf)
RESAMPLES = 2000
FEW, MOST = 20, 3000
_NORMAL = 1.959964  # 97.5 % quantile
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101)
"""97.5 % quantiles of Student's t with 1 to FEW - 2 degrees of freedom."""
INTERVALS = f"95 % intervals over questions (bootstrap; of under {FEW} questions Student's t, a rough one)"
"""For captions."""


def per_question(values: Iterable[tuple[Hashable, float]]) -> list[float]:
    """Of (question, value), nan where a question has none, the mean of every question that has any."""
    found: dict[Hashable, list[float]] = {}
    for question, value in values:
        if not np.isnan(value):
            found.setdefault(question, []).append(value)
    return [float(np.mean(of)) for of in found.values()]


def over_questions(values: Sequence[float], within: Bounds = ANY) -> Estimate | None:
    """The mean of one value per question and its 95 % interval; nan is a question without the value. None without any value.

    Of under FEW values the interval is Student's, as the percentile bootstrap's is too narrow there; of more than MOST the normal one,
    which agrees with the bootstrap's and takes no memory. Values that are all alike, and a single one, have no interval
    (`bootstrap`). Intervals end at what the measure can be, `within`. The same values give the same interval.
    """
    known = np.array([value for value in values if not np.isnan(value)], dtype=np.float64)
    if not known.size:
        return None
    if np.ptp(known) == 0 or FEW <= known.size <= MOST:
        return bootstrap(known, resamples=RESAMPLES, rng=np.random.default_rng(0))
    quantile = _STUDENT[known.size - 2] if known.size < FEW else _NORMAL
    mean, half = float(known.mean()), float(quantile * known.std(ddof=1) / np.sqrt(known.size))
    return Estimate(mean=mean, low=max(mean - half, within[0]), high=min(mean + half, within[1]))


def wilson(share: float, count: int) -> Estimate:
    """A share of `count` independent trials with its 95 % Wilson interval. count >= 1."""
    z = _NORMAL**2 / count
    centre, half = (share + z / 2) / (1 + z), np.sqrt(z * share * (1 - share) + z**2 / 4) / (1 + z)
    return Estimate(mean=share, low=float(min(share, centre - half)), high=float(max(share, centre + half)))


def shown(estimate: Estimate | None, form: str = "") -> str:
    """For a table: mean [low, high], the mean alone without an interval, `-` for None; `form` is the numbers' sign format."""
    if estimate is None:
        return "-"
    return estimate.shown(f"{form}.3g" if abs(estimate.mean) < 1000 else f"{form},.0f")


def numbers(estimate: Estimate | None) -> list[str]:
    """For CSV: mean, low, high; empty where there is none."""
    of = (None, None, None) if estimate is None else (estimate.mean, estimate.low, estimate.high)
    return ["" if number is None else f"{number:.6g}" for number in of]
