"""Group-relative advantages: every kept trajectory of a question is compared with the mean reward of its group.

A filtered trajectory is absent, never reward 0: it gets no advantage, and whether its reward counts towards the mean is
`advantage.baseline` (method.md section 2). An unverifiable trajectory has no reward and counts nowhere.
"""

import numpy as np

from ib_lpo.learner.config import AdvantageConfig
from ib_lpo.tree import RolloutTree

_STD_FLOOR = 1e-6


def assign_advantages(trees: list[RolloutTree], config: AdvantageConfig) -> dict[str, float]:
    """Set `advantage` on every kept trajectory that has a reward; all others get None.

    Metrics: `advantage/groups`; `advantage/empty_groups`, without any kept and graded trajectory;
    `advantage/flat_groups`, with some but all advantages 0; `advantage/mean_abs` over the trained trajectories.
    """
    magnitudes: list[float] = []
    empty = flat = 0
    for tree in trees:
        advantages = _of_group(tree, config)
        empty += not advantages
        flat += bool(advantages) and not any(advantages)
        magnitudes += map(abs, advantages)
    return {
        "advantage/groups": float(len(trees)),
        "advantage/empty_groups": float(empty),
        "advantage/flat_groups": float(flat),
        "advantage/mean_abs": float(np.mean(magnitudes)) if magnitudes else 0.0,
    }


def _of_group(tree: RolloutTree, config: AdvantageConfig) -> list[float]:
    graded = [t for t in tree.trajectories if t.reward is not None]
    trained = [t for t in graded if t.kept]
    for trajectory in tree.trajectories:
        trajectory.advantage = None
    if not trained:
        return []
    rewards = np.array([t.reward for t in (graded if config.baseline == "all" else trained)], dtype=np.float64)
    equal = bool((rewards == rewards[0]).all())  # the mean of equal rewards may differ from them in the last bit
    mean, scale = rewards.mean(), rewards.std() + _STD_FLOOR if config.normalise_std else 1.0
    for trajectory in trained:
        trajectory.advantage = 0.0 if equal else float((trajectory.reward - mean) / scale)
    return [t.advantage for t in trained]
