"""The registry of policy losses, one per kind of learner.loss; a new one is a new file, a section in loss_config and a line here."""

from ib_lpo.learner.losses.base import Loss
from ib_lpo.learner.losses.cispo import CISPO
from ib_lpo.learner.losses.clip_cov import CLIP_COV
from ib_lpo.learner.losses.dapo import DAPO
from ib_lpo.learner.losses.dr_grpo import DR_GRPO
from ib_lpo.learner.losses.entropy_adv import ENTROPY_ADV
from ib_lpo.learner.losses.entropy_reg import ENTROPY_REG
from ib_lpo.learner.losses.grpo import GRPO
from ib_lpo.learner.losses.gspo import GSPO
from ib_lpo.learner.losses.high_entropy import HIGH_ENTROPY
from ib_lpo.learner.losses.kl_cov import KL_COV

LOSSES: dict[str, Loss] = {
    "grpo": GRPO,
    "dapo": DAPO,
    "dr_grpo": DR_GRPO,
    "gspo": GSPO,
    "cispo": CISPO,
    "entropy_reg": ENTROPY_REG,
    "entropy_adv": ENTROPY_ADV,
    "kl_cov": KL_COV,
    "clip_cov": CLIP_COV,
    "high_entropy": HIGH_ENTROPY,
}
