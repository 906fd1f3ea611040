"""The one place that names every metric: unit, meaning and where it is computed. docs/metrics.md is generated from it. Imports no torch.

No name belongs to two metrics. A metric that stands here in no way is written all the same, and counted in `tracking/unnamed`.
"""

from functools import cache

from ib_lpo.metrics.evaluation import EVALUATION
from ib_lpo.metrics.fleet import FLEET
from ib_lpo.metrics.latent import LATENT
from ib_lpo.metrics.learner import LEARNER
from ib_lpo.metrics.metric import Metric
from ib_lpo.metrics.rollout import ROLLOUT
from ib_lpo.metrics.scoring import SCORING
from ib_lpo.metrics.system import SYSTEM

AREAS: dict[str, tuple[Metric, ...]] = {
    "Questions, trees and grades": ROLLOUT,
    "S_IB, filter and advantages": SCORING,
    "Policy update": LEARNER,
    "Held-out questions and benchmarks": EVALUATION,
    "Fitting the latent": LATENT,
    "Processes": FLEET,
    "Time, weights, alarms, tracking": SYSTEM,
}
METRICS: tuple[Metric, ...] = tuple(metric for area in AREAS.values() for metric in area)


@cache
def describe(name: str) -> Metric | None:
    """What `name`, as it stands in metrics.jsonl, is; None for a name that nothing here has."""
    return next((metric for metric in METRICS if metric.pattern.fullmatch(name)), None)
