"""The reward minus the means of the nested subtrees it belongs to (TreePO, arXiv 2508.17445)."""

import numpy as np

from ib_lpo.learner.advantages.base import Compared, centred, whole
from ib_lpo.tree import Segment


def subtree_means(compared: Compared) -> list[tuple[Segment, ...]]:
    """The average, over the nested subtrees that hold i, of r_i minus the subtree's mean.

    A subtree with a single counted reward compares it with nothing and is left out. The standard deviation is that of each subtree.
    """
    rewards = compared.rewards
    total, levels = np.zeros_like(rewards), np.zeros_like(rewards)
    for members in _subtrees(compared):
        if len(members) > 1:
            total[members] += centred(rewards[members], compared.std)
            levels[members] += 1
    return whole(compared, total / np.maximum(levels, 1))


def _subtrees(compared: Compared) -> list[list[int]]:
    """Indices of the counted rewards in the question's whole tree, then in every trajectory with all that branched from it. One that holds
    no less than the one around it (the only root of a question) is the same subtree, and is not listed again."""
    of_each = compared.tree.lineages()
    lineages = [of_each[t.id] for t in compared.counted]
    found = [list(range(len(compared.counted)))]
    for trajectory in compared.tree.trajectories:
        members = [i for i, lineage in enumerate(lineages) if trajectory.id in lineage]
        if members not in found:
            found.append(members)
    return found
