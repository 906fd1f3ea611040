"""Intervals of what runs measure; pure.

The unit is the question: the responses to one question are alike, so resampling them as if they were independent would give intervals that
are too narrow. Every question of a step weighs the same, however many responses it has.
"""

from collections.abc import Sequence

import numpy as np

from ib_lpo.analysis.bootstrap import Estimate, bootstrap

RESAMPLES = 2000
MOST = 3000
_NORMAL = 1.959964  # 97.5 % quantile


def over_questions(values: Sequence[float]) -> Estimate | None:
    """The mean of one value per question and its 95 % bootstrap interval; nan is a question without the value. None without any value.

    The same values give the same interval. One value gives an interval of no width. Of more than MOST values the interval is the normal
    one, which agrees with the bootstrap's there and takes no memory.
    """
    known = np.array([value for value in values if not np.isnan(value)], dtype=np.float64)
    if known.size > MOST:
        mean, half = float(known.mean()), float(_NORMAL * known.std() / np.sqrt(known.size))
        return Estimate(mean=mean, low=mean - half, high=mean + half)
    return bootstrap(known, resamples=RESAMPLES, rng=np.random.default_rng(0)) if known.size else None


def wilson(share: float, count: int) -> Estimate:
    """A share of `count` independent trials with its 95 % Wilson interval. count >= 1."""
    z = _NORMAL**2 / count
    centre, half = (share + z / 2) / (1 + z), np.sqrt(z * share * (1 - share) + z**2 / 4) / (1 + z)
    return Estimate(mean=share, low=float(min(share, centre - half)), high=float(max(share, centre + half)))
