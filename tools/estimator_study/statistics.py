"""Rank statistics with ties, and their bootstrap intervals over questions. Pure numpy.

Trajectories of one question are alike, so the bootstrap draws whole questions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2000
Statistic = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic with its 95 % percentile interval; nan where it is not defined."""

    value: float
    low: float
    high: float

    def shown(self, sign: str) -> str:
        """Value and interval; `sign` is "+" for figures that may be negative, else ""."""
        low, value, high = (f"{figure:{sign}.2f}" for figure in (self.low, self.value, self.high))
        return "-" if np.isnan(self.value) else f"{value} ({low} to {high})"


UNDEFINED = Estimate(np.nan, np.nan, np.nan)


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties sharing their mean rank; float64 [n]."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[group]


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Rank correlation; nan when one of them is constant or there are fewer than 2 pairs."""
    if len(x) < 2:
        return np.nan
    a, b = (ranks(values) - (len(values) + 1) / 2 for values in (x, y))
    norm = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norm) if norm > 0 else np.nan


def auc(x: np.ndarray, right: np.ndarray) -> float:
    """Share of (right, wrong) pairs in which the right one has the higher x, ties counting half; nan without such pairs."""
    positive = np.asarray(right, dtype=bool)
    ups, downs = int(positive.sum()), int((~positive).sum())
    return float((ranks(x)[positive].sum() - ups * (ups + 1) / 2) / (ups * downs)) if ups and downs else np.nan


def over_all(statistic: Statistic, x: np.ndarray, y: np.ndarray, question: np.ndarray, *, seed: int = 0) -> Estimate:
    """`statistic` over all trajectories together; `question` tells which trajectories belong together."""
    members = _members(question)
    if not members:
        return UNDEFINED

    def drawn(chosen: np.ndarray) -> float:
        rows = np.concatenate([members[i] for i in chosen])
        return statistic(x[rows], y[rows])

    return _interval(statistic(x, y), [drawn(chosen) for chosen in _draws(len(members), seed)])


def within(statistic: Statistic, x: np.ndarray, y: np.ndarray, question: np.ndarray, *, seed: int = 0) -> tuple[Estimate, int]:
    """Mean of `statistic` over the questions in which it is defined, and how many these are."""
    each = np.array([statistic(x[rows], y[rows]) for rows in _members(question)])
    each = each[~np.isnan(each)]
    if each.size == 0:
        return UNDEFINED, 0
    return _interval(float(each.mean()), [float(each[chosen].mean()) for chosen in _draws(each.size, seed)]), each.size


def _members(question: np.ndarray) -> list[np.ndarray]:
    return [np.flatnonzero(question == one) for one in np.unique(question)]


def _draws(size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, size, (DRAWS, size))


def _interval(value: float, drawn: Sequence[float]) -> Estimate:
    held = np.asarray(drawn)[~np.isnan(drawn)]
    low, high = np.quantile(held, [0.025, 0.975]) if held.size else (np.nan, np.nan)
    return Estimate(value, float(low), float(high))
