"""Group-relative advantages: every kept trajectory of a question is compared with rewards of its group.

A filtered trajectory is absent, never reward 0: it gets no advantage, and whether its reward counts in the comparison is
`advantage.baseline` (method.md section 2). An unverifiable trajectory has no reward and counts nowhere. Equal rewards give exactly 0.
What is compared is the verifier's reward plus overlong punishment and self-reward; Trajectory.reward stays what the verifier found.
"""

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from ib_lpo.learner.config import AdvantageConfig
from ib_lpo.learner.overlong import overlong_reward
from ib_lpo.scoring.config import IbConfig
from ib_lpo.scoring.self_reward import reward_bonus
from ib_lpo.tree import RolloutTree, Trajectory

_STD_FLOOR = 1e-6

Subtrees = list[list[int]]
"""Indices of the counted rewards in every subtree of a question: the whole first, then what it holds."""


def group_mean(rewards: np.ndarray, subtrees: Subtrees, std: bool) -> np.ndarray:
    """r_i minus the mean of all (GRPO, arXiv 2402.03300). float64 [n] in and out."""
    return _centred(rewards, std)


def leave_one_out(rewards: np.ndarray, subtrees: Subtrees, std: bool) -> np.ndarray:
    """r_i minus the mean of the others (RLOO, arXiv 2402.14740), 0 in a group of one; `std` is still that of all. float64 [n]."""
    return _centred(rewards, std) * rewards.size / max(rewards.size - 1, 1)


def tree_means(rewards: np.ndarray, subtrees: Subtrees, std: bool) -> np.ndarray:
    """The average, over the nested subtrees that hold i, of r_i minus the subtree's mean (TreePO, arXiv 2508.17445). float64 [n].

    A subtree with a single counted reward compares it with nothing and is left out. `std` is that of each subtree.
    """
    total, levels = np.zeros_like(rewards), np.zeros_like(rewards)
    for members in subtrees:
        if len(members) > 1:
            total[members] += _centred(rewards[members], std)
            levels[members] += 1
    return total / np.maximum(levels, 1)


ADVANTAGES: dict[str, Callable[[np.ndarray, Subtrees, bool], np.ndarray]] = {
    "group_mean": group_mean,
    "leave_one_out": leave_one_out,
    "tree": tree_means,
}


def assign_advantages(
    trees: list[RolloutTree], config: AdvantageConfig, *, max_response_tokens: int, ib: IbConfig | None = None
) -> dict[str, float]:
    """Set `advantage` on every kept trajectory that has a reward; all others get None.

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
    """Returns the advantages of the trained trajectories. The bonus keeps its size: it is compared, and not divided by the deviation."""
    for trajectory in tree.trajectories:
        trajectory.advantage = None
    counted = _counted(tree, config)
    compare, subtrees = ADVANTAGES[config.kind], _subtrees(tree, counted)
    rewards = np.array([t.reward + shaping[t.id] for t in counted], dtype=np.float64)
    added = np.array([bonus.get(t.id, 0.0) for t in counted], dtype=np.float64)
    advantages = compare(rewards, subtrees, config.normalise_std) + compare(added, subtrees, False)
    trained = [(t, t.weight * float(a)) for t, a in zip(counted, advantages, strict=True) if t.kept]
    for trajectory, advantage in trained:
        trajectory.advantage = advantage
    return [advantage for _, advantage in trained]


def _centred(rewards: np.ndarray, std: bool) -> np.ndarray:
    """r - mean, over std + a floor when asked. Equal rewards give 0: their mean may differ from them in the last bit."""
    if rewards.size == 0 or (rewards == rewards[0]).all():
        return np.zeros_like(rewards)
    return (rewards - rewards.mean()) / (rewards.std() + _STD_FLOOR if std else 1.0)


def _subtrees(tree: RolloutTree, counted: list[Trajectory]) -> Subtrees:
    """The question's whole tree, then every trajectory with all that branched from it. One that holds no less than the one around it
    (the only root of a question) is the same subtree, and is not listed again."""
    parents = {t.id: t.parent for t in tree.trajectories}
    lineages = [list(_lineage(t.id, parents)) for t in counted]
    found = [list(range(len(counted)))]
    for trajectory in tree.trajectories:
        members = [i for i, lineage in enumerate(lineages) if trajectory.id in lineage]
        if members not in found:
            found.append(members)
    return found


def _lineage(id: str | None, parents: dict[str, str | None]) -> Iterator[str]:
    """The trajectory and its ancestors."""
    while id is not None:
        yield id
        id = parents[id]


_SILENT = ("empty_groups", "flat_groups", "unverifiable_groups", "filtered_groups", "all_right_groups", "all_wrong_groups")


def _silence(tree: RolloutTree) -> list[str]:
    """The counts, one by what was trained and one by cause, of a group without signal; none for another. Advantages are assigned."""
    advantages = [t.advantage for t in tree.kept if t.advantage is not None]
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
