"""Rate: the nats it takes to spell the response (method.md section 2, `rate`).

relevance   = (1/|a|) [log pi(a|q,r) - log pi(a|q)], as pmi; nats per answer token, higher is better.
compression = (1/L) [sum_t -log pi(o_t|q,o_<t) + penalty * #{t: o_t completes a 4-gram seen earlier in r}]; nats, never negative, lower is
better; t runs over the tokens the trajectory owns, L is `ib.reference_length`, penalty `ib.repetition_penalty`.

What it has to do with I(q;r): pointwise, log pi(r|q)/p(r) <= -log p(r) <= -log p(q,r) = -log p(q) - log pi(r|q). The code length of r
bounds the information in it from above, up to -log p(q), which all siblings share; the step to -log p(r), which drops the noise in r, is
that of the deterministic information bottleneck (arXiv 1604.00268). The bound is loose, and no sharper pmi: log pi(r|q) enters the two
with opposite signs, so that rate punishes what is long or unlikely, and pmi what is bound to the question.

Every token costs something, but in a loop next to nothing (the model sees it coming): hence the penalty.
"""

import numpy as np

from ib_lpo.scoring.config import IbConfig
from ib_lpo.scoring.estimators.base import Estimator, Evidence, Need, Terms
from ib_lpo.scoring.estimators.pmi import answer_gain


def rate_terms(evidence: Evidence, config: IbConfig) -> Terms:
    """Both terms. Raises ValueError for an empty gold answer or for lengths that do not fit."""
    own = evidence.passes[Need.OWN_GIVEN_QUESTION].logprobs.astype(np.float64)
    if own.shape != evidence.repeated.shape:
        raise ValueError(f"rate: {own.size} response tokens were scored, but {evidence.repeated.size} searched for repetition")
    nats = -np.sum(own) + config.repetition_penalty * np.count_nonzero(evidence.repeated)
    return Terms(relevance=answer_gain(evidence.passes), compression=float(nats / config.reference_length))


RATE = Estimator(
    needs=frozenset({Need.OWN_GIVEN_QUESTION, Need.ANSWER_GIVEN_RESPONSE, Need.ANSWER_GIVEN_QUESTION}),
    terms=rate_terms,
)
