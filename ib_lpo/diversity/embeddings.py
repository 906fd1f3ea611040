"""How embeddings of samples differ, by the cosine of the angle between them; pure. What that says depends on what embedded them."""

import math

import numpy as np


def pairwise_distance(features: np.ndarray) -> float:
    """Mean cosine distance, 1 - cosine, over all pairs of rows of features [K, F]; in [0, 2], nan for K < 2.

    Raises ValueError for a row without a direction: zero, or not finite.
    """
    if len(features) < 2:
        return math.nan
    similar = _cosines(features)
    return float(1.0 - similar[np.triu_indices(len(similar), 1)].mean())


def vendi_score(features: np.ndarray) -> float:
    """Effective number of different rows of features [K, F], in [1, K]: exp(-sum_i l_i log l_i) over the eigenvalues l of C/K, C the
    cosines of rows (Friedman and Dieng 2023). 1: all alike; K: all orthogonal; nan for K = 0.

    Raises ValueError for a row without a direction: zero, or not finite.
    """
    if not len(features):
        return math.nan
    eigenvalues = np.linalg.eigvalsh(_cosines(features) / len(features))
    positive = eigenvalues[eigenvalues > 0]
    return float(np.exp(-(positive * np.log(positive)).sum()))


def _cosines(features: np.ndarray) -> np.ndarray:
    """float64 [K, K]."""
    lengths = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ValueError(f"row {int(np.argmin(np.isfinite(lengths) & (lengths > 0)))} of the features has no direction: zero or not finite")
    rows = features / lengths
    return rows @ rows.T
