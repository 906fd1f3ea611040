"""Dr.GRPO (arXiv 2503.20783): GRPO's tokens, summed over a constant, so that a wrong answer gains nothing by being long.

The constant is rollout.max_response_tokens per trajectory. The paper also drops the division by the group's standard deviation,
which is learner.advantage.normalise_std = false.
"""

from dataclasses import replace

from ib_lpo.learner.losses.grpo import GRPO

DR_GRPO = replace(GRPO, normaliser="constant")
