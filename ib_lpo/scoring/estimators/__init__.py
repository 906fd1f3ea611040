"""Registry of S_IB estimators (method.md section 2), by the name used in `ib.estimator`."""

from ib_lpo.scoring.estimators.base import Estimator, Need, Terms, rank_scores
from ib_lpo.scoring.estimators.pmi import PMI

ESTIMATORS: dict[str, Estimator] = {"pmi": PMI}

__all__ = ["ESTIMATORS", "Estimator", "Need", "Terms", "rank_scores"]
