"""Advantage times entropy, as the released code has it (method.md section 2, `advantage_entropy` [C]).

relevance   = mean_t A_t H_t = A mean_t H_t over the tokens the trajectory owns, 0 without any; nats times reward, higher is better.
compression = 0.

IBRO's shortcut (arXiv 2507.18391): the advantage stands in for what a token says about the answer, so that no scoring model and no gold
answer is needed. A right trajectory (A > 0) gains by hesitating, a wrong one (A < 0) loses by it. H is the engine's, under the z the token
was sampled with. Where all rewards of a question are equal A is 0 and siblings cannot be told apart; length alone changes nothing.
"""

import numpy as np

from ib_lpo.scoring.config import IbConfig
from ib_lpo.scoring.estimators.base import Estimator, Evidence, Terms


def advantage_entropy_terms(evidence: Evidence, config: IbConfig) -> Terms:
    """Both terms. Raises ValueError when the trajectory's entropies are not one per token."""
    entropies = evidence.entropies.astype(np.float64)
    if entropies.shape != evidence.repeated.shape:
        raise ValueError(f"advantage_entropy: {entropies.size} entropies were logged for {evidence.repeated.size} tokens")
    return Terms(relevance=float(evidence.advantage * np.mean(entropies)) if entropies.size else 0.0, compression=0.0)


ADVANTAGE_ENTROPY = Estimator(needs=frozenset(), terms=advantage_entropy_terms, needs_gold=False)
