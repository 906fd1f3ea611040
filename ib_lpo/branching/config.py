"""Settings of entropy-driven branching."""

from typing import Literal

from pydantic import Field

from ib_lpo.section import Section


class BranchingConfig(Section):
    """Roots, fork selection and branches (method.md section 1)."""

    roots: int = Field(2, ge=1)
    """M, root rollouts per question."""
    branches: int = Field(3, ge=0)
    """K, branches per forked root; 0 turns branching off (plain GRPO)."""
    select: Literal["top_entropy", "argmax"] = "top_entropy"
    """How a fork point is drawn: uniformly from the top fraction, or the single highest entropy."""
    top_fraction: float = Field(0.05, gt=0.0, le=1.0)
    """Share of a root's eligible positions that are candidates, by entropy."""
    floor: float = Field(0.5, ge=0.0)
    """tau: entropy in nats below which a position is never a fork."""
    include_pivot: bool = True
    """Whether the hesitant token itself belongs to the shared prefix."""
