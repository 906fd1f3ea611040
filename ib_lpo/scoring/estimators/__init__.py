"""Registry of S_IB estimators (method.md section 2), by the name used in `ib.estimator`."""

from ib_lpo.scoring.estimators.advantage_entropy import ADVANTAGE_ENTROPY
from ib_lpo.scoring.estimators.answer_entropy import ANSWER_ENTROPY
from ib_lpo.scoring.estimators.base import Estimator, Evidence, Need, Scored, Terms, z_scores
from ib_lpo.scoring.estimators.pmi import PMI
from ib_lpo.scoring.estimators.rate import RATE

ESTIMATORS: dict[str, Estimator] = {
    "pmi": PMI,
    "rate": RATE,
    "answer_entropy": ANSWER_ENTROPY,
    "advantage_entropy": ADVANTAGE_ENTROPY,
}

__all__ = ["ESTIMATORS", "Estimator", "Evidence", "Need", "Scored", "Terms", "z_scores"]
