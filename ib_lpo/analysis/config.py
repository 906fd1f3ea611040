"""Settings of `ib-lpo analyze`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, field_validator

from ib_lpo.latent.config import EncoderConfig
from ib_lpo.section import Section

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class LatentAnalysisConfig(Section):
    """`ib-lpo analyze latent`: branches with z against the same forks without z."""

    forks: int = Field(32, ge=2)
    """Forks to study: the first that roots of the training questions have, one root per question."""
    branches: int = Field(4, ge=2)
    """K, branches of a fork under every variant."""
    tokens: int = Field(128, ge=8)
    """Most new tokens of a branch."""
    gamma0: tuple[NonNegativeFloat, ...] = (0.0, 2.0)
    """Gates at the fork to try besides latent.psa.gamma0."""
    tau: tuple[PositiveFloat, ...] = (16.0, 256.0)
    """Decay lengths to try besides latent.psa.tau."""
    draws: tuple[Literal["iid", "antithetic", "stratified"], ...] = ("antithetic", "stratified")
    """Draws to try besides latent.draw."""
    prior_temperatures: tuple[NonNegativeFloat, ...] = (2.0,)
    """Prior temperatures to try besides latent.temperature and 0, which is always studied."""
    sampling_temperatures: tuple[PositiveFloat, ...] = (1.0,)
    """Sampling temperatures to try without z, besides rollout.temperature: what more randomness does instead of z."""
    embedding: EncoderConfig = EncoderConfig()
    """Encoder of continuations, for distances between branches."""
    injections: dict[Literal["psa", "input", "softmax"], Path] = Field(default_factory=dict)
    """Fitted latents of injections other than latent.injection, whose attention is compared."""
    attention_forks: int = Field(8, ge=1)
    """Forks whose attention is looked at."""
    resamples: int = Field(10_000, ge=100)
    """Bootstrap resamples of forks."""


class StrategyConfig(Section):
    """A way to decode, without z."""

    temperature: float = Field(1.0, gt=0.0)
    """Sampling temperature."""
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    """Nucleus sampling; 1: off."""
    top_k: int | None = Field(None, ge=1)
    """Sample among the k most likely tokens; null: all."""


class EntropyGroupsConfig(Section):
    """`ib-lpo analyze entropy-groups`: continuations from tokens of low, middle and high entropy (method.md section 5, analysis 1)."""

    roots: int = Field(32, ge=2)
    """Roots to study: the first of the training questions, one per question, that have positions of every group."""
    groups: dict[str, tuple[Share, Share]] = Field({"low": (0.0, 0.2), "mid": (0.4, 0.6), "high": (0.95, 1.0)}, min_length=2)
    """By name the quantiles [from, to) of entropy among a root's eligible positions."""
    positions: int = Field(1, ge=1)
    """Positions per root and group."""
    continuations: int = Field(8, ge=2)
    """K, continuations of a position under each strategy."""
    tokens: int = Field(128, ge=8)
    """Most new tokens of a continuation."""
    strategies: dict[str, StrategyConfig] = Field(
        {
            "T 0.2": StrategyConfig(temperature=0.2),
            "T 0.7": StrategyConfig(temperature=0.7),
            "T 1.0": StrategyConfig(),
            "T 1.5": StrategyConfig(temperature=1.5),
            "top-p 0.9": StrategyConfig(top_p=0.9),
            "top-k 20": StrategyConfig(top_k=20),
        },
        min_length=1,
    )
    """By name."""
    z: bool | None = None
    """Another strategy: z ~ p(z|c) at rollout.temperature; null: where latent.kind is cvae."""
    embedding: EncoderConfig = EncoderConfig()
    """Encoder of continuations, for distances and Vendi scores."""
    resamples: int = Field(10_000, ge=100)
    """Bootstrap resamples of roots."""

    @field_validator("groups")
    @classmethod
    def _ascending(cls, groups: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        return dict(sorted(groups.items(), key=lambda group: group[1]))


class AnalysisConfig(Section):
    """One section per analysis."""

    latent: LatentAnalysisConfig = LatentAnalysisConfig()
    entropy_groups: EntropyGroupsConfig = EntropyGroupsConfig()
