"""Settings of weight publishing."""

from typing import Literal

from pydantic import Field

from ib_lpo.section import Section


class WeightsConfig(Section):
    """How the learner's weights reach the engines and the scorers (docs/weights.md)."""

    transport: Literal["auto", "shm", "object", "gloo", "nccl", "ipc"] = "auto"
    """`shm`: memory shared with receivers on the learner's host; `object`: Ray's object store, any host; `gloo`, `nccl`: broadcast over
    TCP or NCCL; `ipc`: CUDA memory shared on one GPU. `auto` is shm where all receivers are on rank 0's host and there is room, else
    object."""
    dtype: Literal["float32", "bfloat16"] | None = None
    """Type of the copies in engines and scorers; the learner's weights are cast on their way. Absent: the learner's compute type."""
    bucket_mb: float = Field(64.0, gt=0.0)
    """What is gathered and sent at a time, MB; a larger tensor travels in a bucket of its own."""
    staging_gb: float = Field(32.0, gt=0.0)
    """GB that the versions under way may take on learner rank 0: host memory, under `ipc` GPU memory. Two versions are held, so that a
    replaced engine can be served while the next is sent."""
    deadline_s: float = Field(60.0, gt=0.0)
    """Seconds that a receiver may wait for a version's bytes, all of them together. Below cluster.suspect_after_s."""
