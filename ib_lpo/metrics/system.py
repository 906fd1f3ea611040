"""Metrics of the machinery: time, weights, alarms, the record itself."""

from ib_lpo.metrics.metric import Metric

_PUBLISH, _TRACKING = "weights/delivery.py", "tracking/tracker.py"
_OUTBOX = "weights/outbox.py"
_SHELF = "checkpoints/shelf.py"

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
        meaning="publishes whose fingerprints every receiver in service returned unchanged; with max_staleness > 0 this and all of "
        "publish/ is of the publish before, which ended during the step, and 0 in step 0",
        source=_PUBLISH,
        total="sum",
    ),
    Metric(
        name="publish/seconds", unit="seconds", meaning="from the first tensor gathered to the last receipt", source=_PUBLISH, total="sum"
    ),
    Metric(
        name="publish/send_seconds",
        unit="seconds",
        meaning="of these, learner rank 0's pass over the weights",
        source=_OUTBOX,
        total="sum",
    ),
    Metric(
        name="publish/seconds_paused",
        unit="seconds",
        meaning="longest time that a commit kept an engine or scorer from its work",
        source=_PUBLISH,
        total="sum",
    ),
    Metric(
        name="publish/rpcs",
        unit="count",
        meaning="most calls of both phases to one receiver; 2 unless it had to try again",
        source=_PUBLISH,
    ),
    Metric(
        name="publish/no_room",
        unit="count",
        meaning="publishes that went by the object store because host memory had no room for shared memory (weights.transport: auto)",
        source=_OUTBOX,
        total="sum",
    ),
    Metric(
        name="publish/bytes",
        unit="bytes",
        meaning="weights as sent, padding included, once whatever the number of receivers",
        source=_OUTBOX,
        total="sum",
    ),
    Metric(name="publish/gb_per_s", unit="GB/s", meaning="these bytes over these seconds, in 1e9 bytes", source=_PUBLISH),
    Metric(name="publish/buckets", unit="count", meaning="buckets the weights were sent in", source=_OUTBOX, total="sum"),
    Metric(name="publish/tensors", unit="count", meaning="tensors sent", source=_OUTBOX, total="sum"),
    Metric(
        name="alarms/<alarm>",
        unit="count",
        meaning="1 in a step in which this alarm is on, else 0",
        source="alarms.py",
        total="sum",
    ),
    Metric(
        name="checkpoint/unranked",
        unit="count",
        meaning="checkpoints since the process started whose step had no finite value of checkpoint.best",
        source=_SHELF,
        total="last",
    ),
    Metric(
        name="checkpoint/uploads",
        unit="count",
        meaning="commands of checkpoint.upload that ended well since the process started",
        source=_SHELF,
        total="last",
    ),
    Metric(
        name="checkpoint/upload_failures",
        unit="count",
        meaning="commands of checkpoint.upload that failed since the process started",
        source=_SHELF,
        total="last",
    ),
    Metric(
        name="checkpoint/uploads_superseded",
        unit="count",
        meaning="checkpoints since the process started that a newer one replaced while they waited to be uploaded",
        source=_SHELF,
        total="last",
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
