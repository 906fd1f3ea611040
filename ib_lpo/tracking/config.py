"""Settings of the record of a run."""

from typing import Literal

from pydantic import Field

from ib_lpo.section import Section


class TrackingConfig(Section):
    """What is recorded besides metrics.jsonl and the trees, and where it goes."""

    wandb: Literal["online", "offline", "disabled"] = "offline"
    """Weights & Biases mode; `offline` writes under the run directory and contacts nobody."""
    project: str = "ib-lpo"
    """wandb project."""
    notes: str = ""
    """What the run is for; shown beside it in wandb."""
    rollouts_every: int = Field(10, ge=0)
    """Steps between samples of trajectories as text, in rollouts.jsonl and in a wandb table, from the first step on; 0: none."""
    rollouts: int = Field(32, ge=1)
    """Most trajectories of such a sample."""
