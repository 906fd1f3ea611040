"""Settings of grading, information-bottleneck scoring and filtering."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from ib_lpo.section import Section


class VerifierConfig(Section):
    """The reward, and the killable grading processes it runs in."""

    reward: str = "math"
    """`math`, the name of an entry point of the group `ib_lpo.rewards`, or `package.module:attribute` (scoring/rewards/base.py)."""
    thinking: Literal["skipped", "graded"] = "skipped"
    """Answers inside `<think>...</think>`, of the reward `math`: `skipped`, wrong unless repeated outside, or `graded` like any other."""
    workers: int = Field(1, ge=1)
    """Grading processes."""
    deadline_s: float = Field(5.0, gt=0.0)
    """Seconds one item may take before its process is killed and the item is `unverifiable`."""
    memory_mb: int = Field(512, ge=32)
    """Memory that grading may add to one idle process (about 150 MB of address space), MB."""
    start_deadline_s: float = Field(120.0, gt=0.0)
    """Seconds a grading process may take to start; later than that is an error, as no item could ever be graded."""


class FailureConfig(Section):
    """Which trajectories of low S_IB are labelled with what went wrong, and from what on."""

    below: float = 0.0
    """Scores under this are low; 0 is the mean of a sibling set."""
    points: int = Field(8, ge=0)
    """Places along a response, evenly spread, at which I(r;a) is measured; loops alone are found with 0, or without a scoring model."""
    loop_tokens: int = Field(32, ge=4)
    """`repetitive_loop`: fewest tokens in a row that repeat earlier 4-grams of the response."""
    loop_ratio: float = Field(0.5, gt=0.0, le=1.0)
    """`repetitive_loop`: the stretch compresses (zlib) to at most this share of its bytes."""
    fluff_tokens: int = Field(64, ge=1)
    """`empty_fluff`: fewest tokens in a row over which I(r;a) does not rise."""
    fluff_gain: float = Field(0.05, ge=0.0)
    """`empty_fluff`: I(r;a) counts as risen when it gains more than this, nats per answer token."""
    drift_drop: float = Field(0.5, gt=0.0)
    """`logical_drift`: I(r;a) ends this far below its highest value along the response, nats per answer token."""


class IbConfig(Section):
    """S_IB(r) = beta * I(r;a) - I(q;r) (method.md section 2)."""

    estimator: Literal["pmi", "rate", "answer_entropy", "advantage_entropy", "none"] = "pmi"
    """How the two informations are estimated; all but advantage_entropy load a scoring model; `none` turns scoring and filtering off."""
    beta: float = Field(2.0, ge=0.0)
    """Weight of the relevance term I(r;a)."""
    reference_length: int = Field(256, ge=1)
    """L of the estimators pmi and rate, tokens: the compression term is divided by it, so longer costs more."""
    repetition_penalty: float = Field(1.0, ge=0.0)
    """Of the estimator rate: what every token that repeats an earlier 4-gram of its response adds to its rate, nats."""
    scorer: Literal["policy", "reference", "none"] = "policy"
    """Scoring model: the policy, refreshed at every publish; the frozen starting model; or none, for estimators that need none."""
    replicas: int = Field(1, ge=1)
    """Scorers that share the trees of a step."""
    max_tokens_per_batch: int = Field(16384, ge=1)
    """Tokens of one scoring forward pass, shared prefixes counted once; a single longer sequence is a batch of its own."""
    reference_model: Path | str | None = None
    """Scoring model of `scorer: reference`; the policy's starting weights when absent."""
    failures: FailureConfig = FailureConfig()
    """Labels of trajectories of low S_IB."""
    self_reward: Literal["none", "loss", "reward", "both"] = "loss"
    """`loss` adds -lambda * mean(A_t * H_t) to the policy loss; `reward` adds a bounded share of S_IB to the reward; `both` does both."""
    self_reward_weight: float = Field(0.005, ge=0.0)
    """lambda of `loss`."""
    reward_weight: float = Field(0.1, ge=0.0, lt=0.5)
    """lambda of `reward`: the most that S_IB changes a reward by; below 1/2, so that no wrong answer outranks a right one."""
    reward_clip: float = Field(3.0, gt=0.0)
    """S_IB at and beyond which `reward` gives its most; S_IB compares siblings, and two of them differ by up to 6 at beta 2."""


class FilterConfig(Section):
    """Which branches are trained on."""

    kind: Literal["top", "balance", "within", "weights"] = "top"
    """`top`: the N branches with the highest S_IB [P]; `balance`: N branches, right and other ones in turn, the best of each first;
    `within`: the better half of the branches of every reward; `weights`: all, weighted linearly by rank (scoring/filters/)."""
    lowest_weight: float = Field(0.0, ge=0.0, le=1.0)
    """What `kind: weights` multiplies the loss of the lowest branch of a set by; the highest gets 2 minus this."""
    scope: Literal["root", "prompt"] = "root"
    """Which branches are compared: those that descend from one root, or all of a question."""
    keep: int | None = Field(None, ge=0)
    """N, branches kept per root, or per question with `scope: prompt`; half of what a root can have, rounded up, per root when absent."""
    keep_roots: bool = True
    """Roots are always kept."""
