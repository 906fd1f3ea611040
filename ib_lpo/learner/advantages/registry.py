"""The kinds of advantage by their names in AdvantageConfig.kind."""

from ib_lpo.learner.advantages.base import Kind
from ib_lpo.learner.advantages.group_mean import group_mean
from ib_lpo.learner.advantages.leave_one_out import leave_one_out
from ib_lpo.learner.advantages.subtree_means import subtree_means
from ib_lpo.learner.advantages.vine import vine

ADVANTAGES: dict[str, Kind] = {"group_mean": group_mean, "leave_one_out": leave_one_out, "tree": subtree_means, "vine": vine}
