"""Metrics of the processes: who serves, who was replaced, what was done again."""

from ib_lpo.metrics.metric import Metric

_ENGINES = "rollout/engines.py"

FLEET = (
    Metric(
        name="idle/engines",
        unit="share",
        meaning="of the rollout engines' time since the step before, what went by without anything asked of them",
        source=_ENGINES,
    ),
    Metric(
        name="idle/learner",
        unit="share",
        meaning="of the step's time, what the learner neither updated nor published in",
        source="progress.py",
    ),
    Metric(
        name="memory/driver_gb",
        unit="GB",
        meaning="resident memory of the driver's process at the end of the step, in 1e9 bytes: it holds the rollout trees that grow",
        source="assembly.py",
        total="max",
    ),
    Metric(
        name="fleet/learner_losses",
        unit="count",
        meaning="learner groups since the process started that lost a rank and were started again from a checkpoint",
        source="run.py",
        total="last",
    ),
    Metric(
        name="fleet/engines_serving",
        unit="count",
        meaning="rollout engines that are healthy at the end of the step: they answer and hold the current version",
        source=_ENGINES,
    ),
    Metric(
        name="fleet/in_flight",
        unit="count",
        meaning="requests at the end of the step that are generated, or wait for an engine",
        source=_ENGINES,
    ),
    Metric(
        name="fleet/reissued",
        unit="count",
        meaning="requests since the process started that a lost engine had, and another one was given with the same seed",
        source=_ENGINES,
        total="last",
    ),
    Metric(
        name="fleet/engine_restarts",
        unit="count",
        meaning="rollout engines since the process started that died, hung or were unfit, and were replaced",
        source=_ENGINES,
        total="last",
    ),
    Metric(
        name="fleet/service_restarts",
        unit="count",
        meaning="scorers, verifiers and latent samplers since the process started that died or were unfit, and were replaced",
        source="assembly.py",
        total="last",
    ),
)
