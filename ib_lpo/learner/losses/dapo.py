"""DAPO (arXiv 2503.14476): GRPO's tokens, averaged over all tokens and with a higher upper clip (clip_high > clip_low).

The rest of DAPO lies outside the loss: dynamic sampling (data.batches_per_step), soft overlong punishment
(learner.advantage.overlong_buffer) and no KL term (learner.kl.coefficient = 0).
"""

from dataclasses import replace

from ib_lpo.learner.losses.grpo import GRPO

DAPO = replace(GRPO, normaliser="token_mean")
