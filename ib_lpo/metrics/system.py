"""Metrics of the machinery: time, weights, alarms, the record itself."""

from ib_lpo.metrics.metric import Metric

_PUBLISH, _TRACKING = "weights/publish.py", "tracking/tracker.py"

SYSTEM = (
    Metric(
        name="step",
        unit="count",
        meaning="training step, or optimiser step of a latent fit; 0 is the starting policy",
        source=_TRACKING,
        total="last",
    ),
    Metric(
        name="seconds/<phase>",
        unit="seconds",
        meaning="wall time of this phase; a checkpoint counts towards the step after it",
        source="progress.py",
        total="sum",
    ),
    Metric(
        name="publish/syncs",
        unit="count",
        meaning="publishes whose fingerprints every receiver returned unchanged",
        source=_PUBLISH,
        total="sum",
    ),
    Metric(name="publish/seconds", unit="seconds", meaning="from opening a publish to the last receipt", source=_PUBLISH, total="sum"),
    Metric(name="publish/bytes", unit="bytes", meaning="weights sent, once whatever the number of receivers", source=_PUBLISH, total="sum"),
    Metric(name="publish/gb_per_s", unit="GB/s", meaning="these bytes over these seconds, in 1e9 bytes", source=_PUBLISH),
    Metric(name="publish/buckets", unit="count", meaning="buckets the weights were sent in", source=_PUBLISH, total="sum"),
    Metric(name="publish/tensors", unit="count", meaning="tensors sent", source=_PUBLISH, total="sum"),
    Metric(
        name="alarms/<alarm>",
        unit="count",
        meaning="1 in a step in which this alarm is on, else 0",
        source="alarms.py",
        total="sum",
    ),
    Metric(
        name="tracking/non_finite",
        unit="count",
        meaning="numbers of the line, and of rollouts written with it, that are not finite and were written as null",
        source=_TRACKING,
        total="sum",
    ),
    Metric(
        name="tracking/unnamed",
        unit="count",
        meaning="metrics of the line that ib_lpo/metrics does not name; they are written all the same",
        source=_TRACKING,
        total="max",
    ),
    Metric(
        name="tracking/wandb_failures",
        unit="count",
        meaning="calls of wandb that failed since the process started",
        source=_TRACKING,
        total="last",
    ),
)
