"""Self-reward through the reward (method.md section 2, `reward`): a share of S_IB so small that no wrong answer outranks a right one.

With w < 1/2 the weight, g the gap between 1 and the highest reward below 1 of a question, and s = clip(S_IB / clip, -1, 1), a trajectory
gains w g s. A right answer (reward 1) is left with at least 1 - w g, a wrong one with at most 1 - g + w g, which is less, as 2 w < 1.
Wrong answers of different rewards may change places among themselves.
"""

from collections.abc import Sequence

import numpy as np


def reward_bonus(scores: Sequence[float], rewards: Sequence[float], *, weight: float, clip: float) -> np.ndarray:
    """What is added to the reward of each trajectory of a question, float64 [n], at most `weight` in size.

    `scores`: S_IB, dimensionless, infinite ones count as the clip. `rewards`: the verifier's, in [0, 1].
    Raises ValueError for a reward outside [0, 1], a score that is no number, or a weight that could not keep the bound.
    """
    held, found = np.asarray(scores, dtype=np.float64), np.asarray(rewards, dtype=np.float64)
    if held.shape != found.shape:
        raise ValueError(f"self-reward: {held.size} scores for {found.size} rewards; score and grade the same trajectories")
    if not 0 <= weight < 0.5:
        raise ValueError(f"self-reward: weight {weight} could rank a wrong answer above a right one; set ib.reward_weight in [0, 0.5)")
    if not ((found >= 0) & (found <= 1)).all():
        raise ValueError(f"self-reward: rewards {found.tolist()} leave [0, 1], where it is bounded; set ib.self_reward=loss or none")
    if np.isnan(held).any():
        raise ValueError(f"self-reward: scores {held.tolist()} are not all numbers; check the scoring model")
    gap = 1.0 - found[found < 1].max(initial=0.0)
    return weight * gap * (np.clip(held, -clip, clip) / clip)
