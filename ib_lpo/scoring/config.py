"""Settings of grading, information-bottleneck scoring and filtering."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from ib_lpo.section import Section


class VerifierConfig(Section):
    """The killable grading processes."""

    workers: int = Field(1, ge=1)
    """Grading processes."""
    deadline_s: float = Field(5.0, gt=0.0)
    """Seconds one item may take before its process is killed and the item is `unverifiable`."""
    memory_mb: int = Field(512, ge=32)
    """Memory that grading may add to one idle process (about 150 MB of address space), MB."""
    start_deadline_s: float = Field(120.0, gt=0.0)
    """Seconds a grading process may take to start; later than that is an error, as no item could ever be graded."""


class IbConfig(Section):
    """S_IB(r) = beta * I(r;a) - I(q;r) (method.md section 2)."""

    estimator: Literal["pmi", "none"] = "pmi"
    """How the two informations are estimated; `none` turns scoring and filtering off."""
    beta: float = Field(2.0, ge=0.0)
    """Weight of the relevance term I(r;a)."""
    reference_length: int = Field(256, ge=1)
    """L of the pmi estimator, tokens: the compression term is divided by it, so longer costs more."""
    max_tokens_per_batch: int = Field(16384, ge=1)
    """Tokens of one scoring forward pass, padding included; a single longer row is a batch of its own."""
    scorer: Literal["policy", "reference"] = "policy"
    """Scoring model: the policy, refreshed at every publish, or the frozen starting model."""
    reference_model: Path | str | None = None
    """Scoring model of `scorer: reference`; the policy's starting weights when absent."""
    self_reward: Literal["none", "loss"] = "loss"
    """`loss` adds -lambda * mean(A_t * H_t) to the policy loss (estimator `advantage_entropy`)."""
    self_reward_weight: float = Field(0.005, ge=0.0)
    """lambda of the self-reward."""


class FilterConfig(Section):
    """Which branches are trained on."""

    keep: int | None = Field(None, ge=0)
    """N, branches kept per root; ceil(K/2) when absent."""
    keep_roots: bool = True
    """Roots are always kept."""
