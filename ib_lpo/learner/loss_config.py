"""Settings of the losses: one section per kind, so that a key of another loss is an error.

Every section has the keys of GrpoLoss, so that a baseline's manifest can extend GRPO's; what a loss makes of its clips is said there.
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from ib_lpo.section import Section

Normaliser = Literal["own", "token_mean", "sequence_mean", "constant"]


class GrpoLoss(Section):
    """What every loss has, and all that the clipped surrogate needs (method.md section 3)."""

    kind: Literal["grpo"] = "grpo"
    """Name in the loss registry."""
    normaliser: Normaliser = "token_mean"
    """What per-token losses are averaged over: all tokens, tokens within a trajectory and then trajectories, or a constant budget of
    rollout.max_response_tokens per trajectory; `own`: what the loss's paper does."""
    clip_low: float = Field(0.2, gt=0.0, lt=1.0)
    """Lower clip: ratio >= 1 - clip_low."""
    clip_high: float = Field(0.28, gt=0.0)
    """Upper clip: ratio <= 1 + clip_high (clip-higher)."""
    engine_is: bool = True
    """Correct what the rollout engine's log-probs differ from the learner's by truncated importance weights."""
    is_cap: float = Field(2.0, ge=1.0)
    """C, the cap of the truncated importance weight; see also latent.offpolicy."""


class DapoLoss(GrpoLoss):
    """DAPO's clip-higher with token mean."""

    kind: Literal["dapo"] = "dapo"


class DrGrpoLoss(GrpoLoss):
    """Dr.GRPO's constant normaliser."""

    kind: Literal["dr_grpo"] = "dr_grpo"
    normaliser: Normaliser = "own"
    """`own`: a constant budget per trajectory; with any other this is GRPO."""


class GspoLoss(GrpoLoss):
    """GSPO's ratio of whole responses; its clips are some hundred times smaller than GRPO's (arXiv 2507.18071)."""

    kind: Literal["gspo"] = "gspo"
    normaliser: Normaliser = "own"
    """`own`: the mean within a trajectory, then over trajectories."""
    clip_low: float = Field(3e-4, gt=0.0, lt=1.0)
    """Lower clip of the response's ratio."""
    clip_high: float = Field(4e-4, gt=0.0)
    """Upper clip of the response's ratio."""


class CispoLoss(GrpoLoss):
    """CISPO's clipped weight on the log-prob."""

    kind: Literal["cispo"] = "cispo"
    clip_low: float = Field(1.0, gt=0.0, le=1.0)
    """Lower bound of the weight: 1 - clip_low; 1: none, as in the paper (arXiv 2506.13585), which does not print its upper one."""


class EntropyRegLoss(GrpoLoss):
    """An entropy bonus."""

    kind: Literal["entropy_reg"] = "entropy_reg"
    coefficient: float = Field(1e-3, ge=0.0)
    """Weight of the mean token entropy (nats)."""


class EntropyAdvLoss(GrpoLoss):
    """An advantage raised where the policy hesitates; alpha and kappa are those of the paper for GRPO (arXiv 2506.14758)."""

    kind: Literal["entropy_adv"] = "entropy_adv"
    alpha: float = Field(0.4, ge=0.0)
    """Weight of the token entropy (nats) in the advantage."""
    kappa: float = Field(2.0, gt=1.0)
    """The entropy term is at most |A| / kappa, so it never turns an advantage's sign."""


class KlCovLoss(GrpoLoss):
    """A KL penalty on the tokens whose log-prob and advantage covary most. It does not clip: clip_low and clip_high have no effect.

    fraction and coefficient are those of the paper for 7B (arXiv 2505.22617); it takes 2e-4 of the tokens for 32B.
    """

    kind: Literal["kl_cov"] = "kl_cov"
    fraction: float = Field(2e-3, gt=0.0, le=1.0)
    """Share of all tokens that is penalised."""
    coefficient: float = Field(1.0, ge=0.0)
    """Weight of the penalty (nats); without effect on the first optimiser step of a training step."""


class ClipCovLoss(GrpoLoss):
    """No gradient through some of the tokens whose log-prob and advantage covary much."""

    kind: Literal["clip_cov"] = "clip_cov"
    fraction: float = Field(2e-4, gt=0.0, le=1.0)
    """Share of all tokens that is detached, drawn among those strictly within the bounds (arXiv 2505.22617)."""
    low: float = 1.0
    """Covariance (nats) above which a token may be drawn."""
    high: float = 5.0
    """Covariance (nats) below which a token may be drawn."""

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> "ClipCovLoss":
        if self.low >= self.high:
            raise ValueError(f"low={self.low} is not below high={self.high}, so no token could be drawn; lower low")
        return self


class HighEntropyLoss(GrpoLoss):
    """80/20: gradient on the most uncertain tokens alone (arXiv 2506.01939)."""

    kind: Literal["high_entropy"] = "high_entropy"
    fraction: float = Field(0.2, gt=0.0, le=1.0)
    """Share of all tokens, by entropy, that is trained on."""


def _kind(value: Any) -> Any:
    return value.get("kind", "grpo") if isinstance(value, dict) else getattr(value, "kind", None)


LossConfig = Annotated[
    Annotated[GrpoLoss, Tag("grpo")]
    | Annotated[DapoLoss, Tag("dapo")]
    | Annotated[DrGrpoLoss, Tag("dr_grpo")]
    | Annotated[GspoLoss, Tag("gspo")]
    | Annotated[CispoLoss, Tag("cispo")]
    | Annotated[EntropyRegLoss, Tag("entropy_reg")]
    | Annotated[EntropyAdvLoss, Tag("entropy_adv")]
    | Annotated[KlCovLoss, Tag("kl_cov")]
    | Annotated[ClipCovLoss, Tag("clip_cov")]
    | Annotated[HighEntropyLoss, Tag("high_entropy")],
    Discriminator(_kind),
]
