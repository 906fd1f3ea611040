"""What every kind of advantage takes and gives."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ib_lpo.learner.config import AdvantageConfig
from ib_lpo.tree import RolloutTree, Segment, Trajectory

_STD_FLOOR = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compared:
    """The trajectories of a question whose rewards are compared, in the order of the tree."""

    tree: RolloutTree
    counted: list[Trajectory]
    rewards: np.ndarray  # float64 [n], of `counted`
    std: bool  # divide by the standard deviation of the rewards
    config: AdvantageConfig


Kind = Callable[[Compared], list[tuple[Segment, ...]]]
"""The segments of every counted trajectory. They cover its own tokens without gaps; at least one, also where it has no tokens."""


def whole(compared: Compared, advantages: np.ndarray) -> list[tuple[Segment, ...]]:
    """One segment per trajectory. advantages float64 [n]."""
    return [(Segment(start=0, end=len(t.token_ids), advantage=float(a)),) for t, a in zip(compared.counted, advantages, strict=True)]


def scale(rewards: np.ndarray, std: bool) -> float:
    """What differences of rewards are divided by: their standard deviation plus a floor, or 1."""
    return float(rewards.std()) + _STD_FLOOR if std else 1.0


def centred(rewards: np.ndarray, std: bool) -> np.ndarray:
    """r - mean, over `scale`. Equal rewards give 0: their mean may differ from them in the last bit. float64 [n]."""
    if all_equal(rewards):
        return np.zeros_like(rewards)
    return (rewards - rewards.mean()) / scale(rewards, std)


def all_equal(rewards: np.ndarray) -> bool:
    """Also of none."""
    return rewards.size == 0 or bool((rewards == rewards[0]).all())
