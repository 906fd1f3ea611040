"""Settings of the processes and the machines."""

from typing import Literal

from pydantic import Field, model_validator

from ib_lpo.section import Section


class ClusterConfig(Section):
    """Where the actors run."""

    mode: Literal["ray", "local"] = "ray"
    """`ray`: every part is a Ray actor; `local`: everything in this process, for debugging."""
    address: str | None = None
    """Ray address; absent: RAY_ADDRESS, or else a private Ray started here."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` is cuda when this environment's torch is a CUDA build and the Ray cluster (in local mode, the driver) has a GPU."""
    cpus: int | None = Field(None, ge=1)
    """Logical CPUs of a private Ray; absent: the machine's."""
    engine_cpus: float = Field(1.0, gt=0.0)
    """Logical CPUs reserved by an engine; fractions let small runs share cores."""
    rank_cpus: float = Field(1.0, gt=0.0)
    """Logical CPUs reserved by a learner rank."""
    scorer_cpus: float = Field(1.0, gt=0.0)
    """Logical CPUs reserved by the IB scorer."""
    service_cpus: float = Field(0.1, ge=0.0)
    """Logical CPUs reserved by each of latent sampler and verifier."""
    engine_gpus: float = Field(1.0, ge=0.0)
    """GPUs of an engine on CUDA; fractions share a GPU."""
    rank_gpus: float = Field(1.0, ge=0.0)
    """GPUs of a learner rank on CUDA."""
    scorer_gpus: float = Field(1.0, ge=0.0)
    """GPUs of the scorer on CUDA."""
    start_deadline_s: float = Field(600.0, gt=0.0)
    """Seconds an actor may take to become ready."""
    call_deadline_s: float = Field(1800.0, gt=0.0)
    """Seconds any single remote call may take before it is an error."""
    grace_s: float = Field(120.0, gt=0.0)
    """Seconds that a run has after SIGTERM or SIGHUP to drop or finish its step and to write a checkpoint; then it ends without. Whoever
    sends the signal must wait longer before it kills (Slurm: --signal; Kubernetes: terminationGracePeriodSeconds)."""
    group_deadline_s: float = Field(300.0, gt=0.0)
    """Seconds a collective of the learner ranks may take (torch.distributed timeout)."""
    suspect_after_s: float = Field(120.0, gt=0.0)
    """Seconds an engine may owe an answer before it is suspect: it gets nothing new, and is refitted when it is heard from. Above the
    longest call, which rollout.max_iterations_per_call bounds, the longest commit of weights, and weights.deadline_s. An engine that is
    suspect four times in a row without a version taken in between is replaced."""
    dead_after_s: float = Field(600.0, gt=0.0)
    """Seconds an engine may owe an answer before it is killed and replaced, and its requests are issued elsewhere."""
    most_restarts: int = Field(8, ge=0)
    """Replacements of one engine, of one service and of the learner group within a run; the next death ends the run, which goes on with
    --resume."""

    @model_validator(mode="after")
    def _suspicion_comes_first(self) -> "ClusterConfig":
        if self.dead_after_s < self.suspect_after_s:
            raise ValueError(f"dead_after_s={self.dead_after_s:g} is below suspect_after_s={self.suspect_after_s:g}; raise it")
        return self
