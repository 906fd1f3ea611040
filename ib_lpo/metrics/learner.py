"""Metrics of the policy update (method.md section 3) and of how its tokens were packed."""

from ib_lpo.metrics.metric import Metric

_STEP, _MEASURE, _RANK = "learner/step.py", "learner/measure.py", "learner/rank.py"
_GROUP, _PACKING, _RATIO = "learner/group.py", "learner/packing.py", "learner/losses/ratio.py"
_STALENESS = "learner/staleness.py"

LEARNER = (
    Metric(
        name="mismatch/mean_abs",
        unit="nats",
        meaning="|learner's minus engine's log-prob| of a sampled token, both with the z it was sampled with, mean over tokens trained",
        source=_MEASURE,
    ),
    Metric(name="mismatch/max_abs", unit="nats", meaning="the largest of these differences", source=_MEASURE, total="max"),
    Metric(name="mismatch/k3", unit="nats", meaning="KL(engine || learner), k3 estimate, mean over tokens trained", source=_MEASURE),
    Metric(
        name="mismatch/z_gap",
        unit="nats",
        meaning="|log pi(o|z) - log pi(o|no z)| under the learner, mean over tokens that were sampled with a z",
        source=_MEASURE,
    ),
    Metric(
        name="entropy/mean",
        unit="nats",
        meaning="entropy of the learner's raw next-token distribution at the start of the step, mean over tokens trained",
        source=_MEASURE,
    ),
    Metric(
        name="loss/policy",
        unit="1",
        meaning="the policy loss (learner.loss), normalised, without KL term and self-reward, mean over optimiser steps",
        source=_STEP,
    ),
    Metric(
        name="loss/self_reward",
        unit="nats",
        meaning="-ib.self_reward_weight times the mean of A_t H_t over tokens (method.md section 2), mean over optimiser steps",
        source=_STEP,
    ),
    Metric(
        name="loss/kl",
        unit="nats",
        meaning="KL(policy || reference) by learner.kl.estimator, mean over tokens trained",
        source=_STEP,
    ),
    Metric(
        name="loss/kl_penalty",
        unit="nats",
        meaning="the KL term as it is added to the loss, 0 for k1, which acts through the advantage; mean over optimiser steps",
        source=_STEP,
    ),
    Metric(
        name="loss/clip_low",
        unit="share",
        meaning="of tokens trained, those whose ratio the lower bound (1 - clip_low) holds",
        source=_RATIO,
    ),
    Metric(
        name="loss/clip_high",
        unit="share",
        meaning="of tokens trained, those whose ratio the upper bound (1 + clip_high) holds",
        source=_RATIO,
    ),
    Metric(
        name="loss/ratio",
        unit="1",
        meaning="pi(o) / pi(o) at the start of the step, of trajectories for gspo, mean over tokens trained",
        source=_RATIO,
    ),
    Metric(
        name="loss/chosen",
        unit="share",
        meaning="of tokens trained, those the loss chooses: penalised (kl_cov), without gradient (clip_cov), with one (high_entropy)",
        source="learner/losses/kl_cov.py",
    ),
    Metric(name="loss/grad_norm", unit="1", meaning="gradient norm before clipping, mean over steps that were applied", source=_RANK),
    Metric(name="loss/optimiser_steps", unit="count", meaning="optimiser steps applied", source=_RANK, total="sum"),
    Metric(
        name="loss/skipped_steps",
        unit="count",
        meaning="optimiser steps not applied because their gradient was not finite",
        source=_RANK,
        total="sum",
    ),
    Metric(
        name="is/weight",
        unit="1",
        meaning="truncated importance weight (latent.offpolicy, learner.loss.engine_is), mean over tokens trained",
        source=_STEP,
    ),
    Metric(name="is/capped", unit="share", meaning="of tokens trained, those whose importance weight is at the cap C", source=_STEP),
    Metric(
        name="is/effective_share",
        unit="share",
        meaning="effective sample size of the importance weights, (sum w)^2 / (n sum w^2); 1: all weights are equal",
        source=_STEP,
    ),
    Metric(
        name="lr/<group>",
        unit="1",
        meaning="learning rate of this parameter group in the step (learner/schedule.py)",
        source=_RANK,
        total="last",
    ),
    Metric(name="update/tokens", unit="tokens", meaning="tokens trained, shared prefixes once", source=_MEASURE, total="sum"),
    Metric(name="update/sequences", unit="count", meaning="trajectories trained", source=_GROUP, total="sum"),
    Metric(name="update/seconds", unit="seconds", meaning="spent in the update by rank 0", source=_RANK, total="sum"),
    Metric(
        name="update/no_signal",
        unit="count",
        meaning="1 in a step that made no optimiser step because no advantage differs from 0, else 0",
        source=_RANK,
        total="sum",
    ),
    Metric(
        name="update/silent_mini_batches",
        unit="count",
        meaning="mini-batches without a token of non-zero advantage",
        source=_RANK,
        total="sum",
    ),
    Metric(
        name="staleness/mean",
        unit="count",
        meaning="policy versions between a token trained on and the weights that it updates, mean over tokens",
        source=_STALENESS,
    ),
    Metric(name="staleness/max", unit="count", meaning="the most of these versions", source=_STALENESS, total="max"),
    Metric(name="staleness/share_<age>", unit="share", meaning="tokens trained on that are so many versions old", source=_STALENESS),
    Metric(name="staleness/mixed", unit="share", meaning="trajectories trained on with tokens of several versions", source=_STALENESS),
    Metric(
        name="staleness/drift",
        unit="nats",
        meaning="|log p(learner) - log p(engine)| of tokens of older versions, mean; absent without any",
        source=_MEASURE,
    ),
    Metric(
        name="learner/tree_token_ratio",
        unit="share",
        meaning="tokens forwarded in a pass, of the sum of the trajectories' lengths; what packing by trees saves is the rest",
        source=_PACKING,
    ),
    Metric(name="learner/padding", unit="share", meaning="of tokens forwarded, those that nobody needs", source=_PACKING),
    Metric(
        name="learner/waiting",
        unit="share",
        meaning="of the ranks' time, measured in tokens, what they wait for the longest micro-batch of a round",
        source=_PACKING,
    ),
    Metric(name="learner/micro_batches", unit="count", meaning="micro-batches of each rank", source=_PACKING, total="sum"),
)
