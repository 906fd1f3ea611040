"""The reward minus the mean of the others (RLOO, arXiv 2402.14740)."""

from ib_lpo.learner.advantages.base import Compared, centred, whole
from ib_lpo.tree import Segment


def leave_one_out(compared: Compared) -> list[tuple[Segment, ...]]:
    """r_i minus the mean of the others, 0 in a group of one; the standard deviation is still that of all."""
    n = compared.rewards.size
    return whole(compared, centred(compared.rewards, compared.std) * n / max(n - 1, 1))
