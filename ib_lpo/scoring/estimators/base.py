"""What an estimator of S_IB is: the log-probs it needs, two informations per trajectory, and one score per sibling.

An estimator is pure maths on log-probs of one trajectory; z-scoring inside the sibling set is the same for all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

STD_FLOOR = 1e-6  # nats; siblings that differ by less (rounding) are equal and score 0


class Need(StrEnum):
    """A scoring pass: log-probs of some target tokens in some context."""

    OWN_GIVEN_QUESTION = "own_given_question"  # log pi(o_t | q, o_<t) of the tokens the trajectory owns
    OWN_ALONE = "own_alone"  # log pi(o_t | o_<t): the prompt of an empty question instead of q
    ANSWER_GIVEN_RESPONSE = "answer_given_response"  # log pi(a | q, r) with r cut before its final answer
    ANSWER_GIVEN_QUESTION = "answer_given_question"  # log pi(a | q)


@dataclass(frozen=True, slots=True)
class Terms:
    """The two informations of one trajectory, nats."""

    relevance: float  # I(r;a)
    compression: float  # I(q;r)


@dataclass(frozen=True, slots=True)
class Estimator:
    """`terms(logprobs, reference_length)` with one float array [targets], nats, per need."""

    needs: frozenset[Need]
    terms: Callable[[Mapping[Need, np.ndarray], int], Terms]


def rank_scores(siblings: Sequence[Terms], beta: float) -> np.ndarray:
    """S_IB = beta * z(I(r;a)) - z(I(q;r)), float64 [siblings], dimensionless; z over the siblings, 0 where they do not differ."""
    relevance = np.array([terms.relevance for terms in siblings], dtype=np.float64)
    compression = np.array([terms.compression for terms in siblings], dtype=np.float64)
    return beta * z_scores(relevance) - z_scores(compression)


def z_scores(values: np.ndarray) -> np.ndarray:
    """(x - mean) / population standard deviation, float64 [n]; all 0 when the deviation is below STD_FLOOR or n < 2."""
    if values.size < 2:
        return np.zeros_like(values)
    deviation = values - values.mean()
    spread = np.sqrt(np.mean(deviation**2))
    return np.zeros_like(values) if spread < STD_FLOOR else deviation / spread
