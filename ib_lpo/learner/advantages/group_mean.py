"""The reward minus the mean of the group (GRPO, arXiv 2402.03300)."""

from ib_lpo.learner.advantages.base import Compared, centred, whole
from ib_lpo.tree import Segment


def group_mean(compared: Compared) -> list[tuple[Segment, ...]]:
    """r_i minus the mean of all."""
    return whole(compared, centred(compared.rewards, compared.std))
