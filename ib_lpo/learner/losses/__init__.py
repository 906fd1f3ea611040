"""The registry of policy-gradient losses; a new loss is a new file here and a line in LOSSES."""

from ib_lpo.learner.losses.base import Loss, LossSums, TokenBatch
from ib_lpo.learner.losses.grpo import grpo

LOSSES: dict[str, Loss] = {"grpo": grpo}

__all__ = ["LOSSES", "Loss", "LossSums", "TokenBatch"]
