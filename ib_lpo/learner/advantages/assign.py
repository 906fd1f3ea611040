"""Group-relative advantages: every kept trajectory of a question is compared with rewards of its group.

A filtered trajectory is absent, never reward 0: it gets no advantage, and whether its reward counts in the comparison is
`advantage.baseline` (method.md section 2). An unverifiable trajectory has no reward and counts nowhere. Equal rewards give exactly 0.
What is compared is the verifier's reward plus overlong punishment and self-reward; Trajectory.reward stays what the verifier found.
"""

from collections import Counter
from dataclasses import replace

import numpy as np

from ib_lpo.learner.advantages.base import Compared
from ib_lpo.learner.advantages.registry import ADVANTAGES
from ib_lpo.learner.config import AdvantageConfig
from ib_lpo.learner.overlong import overlong_reward
from ib_lpo.scoring.config import IbConfig
from ib_lpo.scoring.self_reward import reward_bonus
from ib_lpo.tree import RolloutTree, Segment, Trajectory


def assign_advantages(
    trees: list[RolloutTree], config: AdvantageConfig, *, max_response_tokens: int, ib: IbConfig | None = None
) -> dict[str, float]:
    """Set `advantage` on every kept trajectory that has a reward, and `segments` where it differs along the trajectory; all others get
    None.

    `ib` with self_reward `reward` or `both` adds a bounded share of S_IB to the rewards that are compared. Raises ValueError when one of
    those trajectories was not scored.

    Metrics, all `advantage/...`: `groups`; `mean_abs` over the trained trajectories; `overlong`, graded trajectories whose reward the
    overlong punishment lowers; `self_reward`, mean size of the share of S_IB over the compared trajectories, absent when it is off.
    Groups without signal are counted by what was trained, `empty_groups` (nothing kept has a reward) and
    `flat_groups` (all advantages are 0), and once more by cause, each in exactly one of
    `unverifiable_groups`: no trajectory has a reward; `filtered_groups`: the filter left none, or, of rewards that differ, only such
    as tell nothing; `all_right_groups`, `all_wrong_groups`: the verifier's rewards are all the same and above 0, or all 0.
    """
    counts: Counter[str] = Counter()
    magnitudes: list[float] = []
    bonuses: list[float] = []
    overlong = 0
    for tree in trees:
        shaping = {t.id: _shaping(t, config, max_response_tokens) for t in tree.trajectories if t.reward is not None}
        bonus = _bonus(_counted(tree, config), ib)
        overlong += sum(value < 0 for value in shaping.values())
        bonuses += map(abs, bonus.values())
        magnitudes += map(abs, _assign(tree, config, shaping, bonus))
        counts.update(_silence(tree))
    return {
        "advantage/groups": float(len(trees)),
        **{f"advantage/{name}": float(counts[name]) for name in _SILENT},
        "advantage/overlong": float(overlong),
        "advantage/mean_abs": _mean(magnitudes),
        **({"advantage/self_reward": _mean(bonuses)} if _rewards_itself(ib) else {}),
    }


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else 0.0


def _shaping(trajectory: Trajectory, config: AdvantageConfig, max_response_tokens: int) -> float:
    length = trajectory.prefix_ids.size + trajectory.token_ids.size
    return overlong_reward(length, max_response_tokens=max_response_tokens, buffer=config.overlong_buffer, penalty=config.overlong_penalty)


def _counted(tree: RolloutTree, config: AdvantageConfig) -> list[Trajectory]:
    return [t for t in tree.trajectories if t.reward is not None and (t.kept or config.baseline == "all")]


def _rewards_itself(ib: IbConfig | None) -> bool:
    return ib is not None and ib.self_reward in ("reward", "both")


def _bonus(counted: list[Trajectory], ib: IbConfig | None) -> dict[str, float]:
    """The share of S_IB of every counted trajectory of a question, by its id; empty when it is off."""
    if not _rewards_itself(ib):
        return {}
    for trajectory in counted:
        if trajectory.ib is None:
            raise ValueError(f"{trajectory.id}: has no S_IB to add to its reward (ib.self_reward={ib.self_reward}); run score_trees before")
    bonus = reward_bonus([t.ib.score for t in counted], [t.reward for t in counted], weight=ib.reward_weight, clip=ib.reward_clip)
    return {t.id: float(value) for t, value in zip(counted, bonus, strict=True)}


def _assign(tree: RolloutTree, config: AdvantageConfig, shaping: dict[str, float], bonus: dict[str, float]) -> list[float]:
    """Returns the mean |A| of every trained trajectory. The bonus keeps its size: it is compared, and not divided by the deviation."""
    for trajectory in tree.trajectories:
        trajectory.advantage, trajectory.segments = None, ()
    counted = _counted(tree, config)
    rewards = np.array([t.reward + shaping[t.id] for t in counted], dtype=np.float64)
    added = np.array([bonus.get(t.id, 0.0) for t in counted], dtype=np.float64)
    kind, shared = ADVANTAGES[config.kind], {"tree": tree, "counted": counted, "config": config}
    of_rewards = kind(Compared(rewards=rewards, std=config.normalise_std, **shared))
    of_bonus = kind(Compared(rewards=added, std=False, **shared))
    trained = [(t, _sum(a, b, t.weight)) for t, a, b in zip(counted, of_rewards, of_bonus, strict=True) if t.kept]
    for trajectory, segments in trained:
        trajectory.advantage = _token_mean(segments)
        trajectory.segments = segments if len(segments) > 1 else ()
    return [_token_mean(tuple(replace(s, advantage=abs(s.advantage)) for s in segments)) for _, segments in trained]


def _sum(rewards: tuple[Segment, ...], bonus: tuple[Segment, ...], weight: float) -> tuple[Segment, ...]:
    """Equal rewards are one segment, whatever the kind; otherwise both are cut alike."""
    cuts = max(rewards, bonus, key=len)
    return tuple(
        replace(cut, advantage=weight * sum(of[i if len(of) > 1 else 0].advantage for of in (rewards, bonus))) for i, cut in enumerate(cuts)
    )


def _token_mean(segments: tuple[Segment, ...]) -> float:
    tokens = segments[-1].end
    if len(segments) == 1 or tokens == 0:
        return segments[-1].advantage
    return sum((s.end - s.start) * s.advantage for s in segments) / tokens


_SILENT = ("empty_groups", "flat_groups", "unverifiable_groups", "filtered_groups", "all_right_groups", "all_wrong_groups")


def _silence(tree: RolloutTree) -> list[str]:
    """The counts, one by what was trained and one by cause, of a group without signal; none for another. Advantages are assigned."""
    trained = [t for t in tree.kept if t.advantage is not None]
    advantages = [a for t in trained for a in (t.advantage, *(segment.advantage for segment in t.segments))]
    rewards = [t.reward for t in tree.trajectories if t.reward is not None]
    if any(advantages):
        return []
    if not rewards:
        return ["empty_groups", "unverifiable_groups"]
    if not advantages:
        return ["empty_groups", "filtered_groups"]
    if len(set(rewards)) > 1:
        return ["flat_groups", "filtered_groups"]
    return ["flat_groups", "all_right_groups" if rewards[0] > 0 else "all_wrong_groups"]
