"""Entropy with and without the answer in sight (method.md section 2, `answer_entropy`; IBRO, arXiv 2507.18391, Theorem 1).

relevance   = -sum_t H(o_t|q,a,o_<t); nats, at most 0, higher is better.
compression = -sum_t H(o_t|q,o_<t); nats, at most 0, lower is better.
S_IB before z-scoring = sum_t [H(o_t|q,o_<t) - beta H(o_t|q,a,o_<t)]; t runs over the tokens the trajectory owns.

Direction: IBRO minimises I(q;r) - beta I(r;a), so the sum above is maximised. With I(q;r) = H(r) - H(r|q) and I(r;a) = H(r) - H(r|a),
    beta I(r;a) - I(q;r) = H(r|q) - beta H(r|a) + (beta - 1) H(r).
The two terms leave out H(r), which no policy can be asked for, and are the informations less H(r): negative, and of use among siblings
alone. H(r|a) is measured with the question still in sight. What scores high was open as long as the answer was unknown (it explores), and
is settled by the answer (it leads there); what stays as uncertain with the answer as without loses (beta - 1) H per token, if beta > 1.

Both entropies are the scoring model's, without z, so that they differ by the answer alone; the engine's are not used. Two blind spots: a
loop has next to no entropy and costs nothing, and the token that was drawn from a distribution does not matter, only the distribution.
"""

import numpy as np

from ib_lpo.scoring.config import IbConfig
from ib_lpo.scoring.estimators.base import Estimator, Evidence, Need, Terms


def answer_entropy_terms(evidence: Evidence, config: IbConfig) -> Terms:
    """Both terms. Raises ValueError for passes of unequal length."""
    untold, told = (evidence.passes[need].entropies.astype(np.float64) for need in (Need.OWN_GIVEN_QUESTION, Need.OWN_GIVEN_ANSWER))
    if untold.shape != told.shape:
        raise ValueError(f"answer_entropy: passes over the response differ in length, {untold.shape} and {told.shape}")
    return Terms(relevance=-float(np.sum(told)), compression=-float(np.sum(untold)))


ANSWER_ENTROPY = Estimator(needs=frozenset({Need.OWN_GIVEN_QUESTION, Need.OWN_GIVEN_ANSWER}), terms=answer_entropy_terms)
