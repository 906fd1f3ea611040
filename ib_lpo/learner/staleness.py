"""How old what a step trains on is, in policy versions; pure."""

import numpy as np

from ib_lpo.learner.batch import TrainSequence


def staleness_metrics(items: list[TrainSequence], version: int) -> dict[str, float]:
    """`staleness/...` of the tokens trained, whose weights have `version`: `mean` and `max`, versions between a token and the weights;
    `share_<k>`, share of tokens k versions old; `mixed`, share of trajectories with tokens of several versions. Nothing without tokens."""
    if not items:
        return {}
    lags = version - np.concatenate([item.versions for item in items])
    counts = np.bincount(lags)
    mixed = [np.ptp(item.versions) > 0 for item in items]
    return {
        "staleness/mean": float(lags.mean()),
        "staleness/max": float(lags.max()),
        "staleness/mixed": float(np.mean(mixed)),
        **{f"staleness/share_{lag}": float(count / lags.size) for lag, count in enumerate(counts)},
    }
