"""Pointwise mutual information (method.md section 2, `pmi`).

I(r;a) = (1/|a|) [log pi(a|q,r) - log pi(a|q)]: how much the response tells about the gold answer, nats per answer token.
I(q;r) = (1/L) sum_t [log pi(o_t|q,o_<t) - log pi(o_t|o_<t)]: how much of the response is bound to the question; L is a fixed
reference length, so that a longer response costs more.
"""

from collections.abc import Mapping

import numpy as np

from ib_lpo.scoring.config import IbConfig
from ib_lpo.scoring.estimators.base import Estimator, Evidence, Need, Scored, Terms


def pmi_terms(evidence: Evidence, config: IbConfig) -> Terms:
    """Both informations, nats. Raises ValueError for an empty gold answer or for passes of unequal length."""
    bound, alone = (evidence.passes[need].logprobs.astype(np.float64) for need in (Need.OWN_GIVEN_QUESTION, Need.OWN_ALONE))
    if bound.shape != alone.shape:
        raise ValueError(f"pmi: passes over the response differ in length, {bound.shape} and {alone.shape}")
    return Terms(relevance=answer_gain(evidence.passes), compression=float(np.sum(bound - alone) / config.reference_length))


def answer_gain(passes: Mapping[Need, Scored]) -> float:
    """I(r;a) of the estimators pmi and rate. Raises ValueError for an empty gold answer or for passes of unequal length."""
    return gain(passes[Need.ANSWER_GIVEN_RESPONSE], passes[Need.ANSWER_GIVEN_QUESTION])


def gain(told: Scored, untold: Scored) -> float:
    """Mean log-prob gained by the same answer tokens, nats per token. Raises ValueError when they are none, or not the same number."""
    if told.logprobs.size == 0 or told.logprobs.shape != untold.logprobs.shape:
        raise ValueError(
            f"answer tokens scored: {told.logprobs.size} and {untold.logprobs.size}; both must be the same, and more than 0: "
            "set Question.answer_ids to the spelling of the gold answer"
        )
    return float(np.mean(told.logprobs.astype(np.float64) - untold.logprobs.astype(np.float64)))


PMI = Estimator(
    needs=frozenset({Need.OWN_GIVEN_QUESTION, Need.OWN_ALONE, Need.ANSWER_GIVEN_RESPONSE, Need.ANSWER_GIVEN_QUESTION}), terms=pmi_terms
)
