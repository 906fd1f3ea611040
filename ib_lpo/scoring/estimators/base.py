"""What an estimator of S_IB is: what it must be told about a trajectory, and the two informations it makes of that.

An estimator is pure maths on one trajectory; z-scoring among siblings is the same for all. Higher S_IB is better: relevance counts for a
trajectory, compression against it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from ib_lpo.scoring.config import IbConfig

STD_FLOOR = 1e-6  # nats, and share of the largest value: siblings that differ by less (rounding of float32 sums) are equal and score 0


class Need(StrEnum):
    """A scoring pass: log-probs and entropies of some target tokens in some context."""

    OWN_GIVEN_QUESTION = "own_given_question"  # o_t | q, o_<t of the tokens the trajectory owns
    OWN_ALONE = "own_alone"  # o_t | o_<t: the prompt of an empty question instead of q
    OWN_GIVEN_ANSWER = "own_given_answer"  # o_t | q, a, o_<t: the prompt shows the gold answer
    ANSWER_GIVEN_RESPONSE = "answer_given_response"  # a | q, r with r cut before its final answer
    ANSWER_GIVEN_QUESTION = "answer_given_question"  # a | q


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """The target tokens of one pass under the scoring model, float32 [N] each, nats."""

    logprobs: np.ndarray
    entropies: np.ndarray  # of the distribution each target was scored under


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What an estimator may look at. T: tokens the trajectory owns."""

    passes: Mapping[Need, Scored] = field(default_factory=dict)  # those the estimator needs
    repeated: np.ndarray  # bool [T], the token completes a 4-gram that stands earlier in the response
    entropies: np.ndarray  # float32 [T], as the engine logged them, under the z the token was sampled with, nats
    advantage: float  # reward minus the mean over the verifiable trajectories of the question; 0 for an unverifiable one


@dataclass(frozen=True, slots=True)
class Terms:
    """The two informations of one trajectory, nats."""

    relevance: float  # I(r;a)
    compression: float  # I(q;r)


@dataclass(frozen=True, slots=True)
class Estimator:
    """`terms(evidence, config)` raises ValueError for evidence that cannot be right (an empty answer, passes of unequal length)."""

    needs: frozenset[Need]
    terms: Callable[[Evidence, IbConfig], Terms]
    needs_gold: bool = True  # the question must have a gold answer


def z_scores(values: Sequence[float]) -> np.ndarray:
    """(x - mean) / population standard deviation, float64 [n]; all 0 when the deviation is below STD_FLOOR (of 1 nat, or of the largest
    value if that is more) or n < 2."""
    held = np.asarray(values, dtype=np.float64)
    if held.size < 2:
        return np.zeros_like(held)
    deviation = held - held.mean()
    spread = np.sqrt(np.mean(deviation**2))
    floor = STD_FLOOR * max(1.0, float(np.abs(held).max()))
    return np.zeros_like(held) if spread < floor else deviation / spread
