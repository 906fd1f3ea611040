"""Pointwise mutual information (method.md section 2, `pmi`).

I(r;a) = (1/|a|) [log pi(a|q,r) - log pi(a|q)]: how much the response tells about the gold answer, per answer token.
I(q;r) = (1/L) sum_t [log pi(o_t|q,o_<t) - log pi(o_t|o_<t)]: how much of the response is bound to the question; L is a fixed
reference length, so that a longer response costs more.
"""

from collections.abc import Mapping

import numpy as np

from ib_lpo.scoring.estimators.base import Estimator, Need, Terms


def pmi_terms(logprobs: Mapping[Need, np.ndarray], reference_length: int) -> Terms:
    """Both informations, nats. Raises ValueError for an empty gold answer or for passes of unequal length."""
    answer, prior = logprobs[Need.ANSWER_GIVEN_RESPONSE], logprobs[Need.ANSWER_GIVEN_QUESTION]
    bound, alone = logprobs[Need.OWN_GIVEN_QUESTION], logprobs[Need.OWN_ALONE]
    if answer.size == 0:
        raise ValueError("pmi: the gold answer has no tokens; set Question.answer_ids to its spelling")
    if answer.shape != prior.shape or bound.shape != alone.shape:
        raise ValueError(f"pmi: passes differ in length: answer {answer.shape} and {prior.shape}, response {bound.shape} and {alone.shape}")
    return Terms(
        relevance=float(np.mean(answer.astype(np.float64) - prior.astype(np.float64))),
        compression=float(np.sum(bound.astype(np.float64) - alone.astype(np.float64)) / reference_length),
    )


PMI = Estimator(needs=frozenset(Need), terms=pmi_terms)
