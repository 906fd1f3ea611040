"""Settings of `ib-lpo analyze`."""

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from ib_lpo.latent.config import EncoderConfig
from ib_lpo.section import Section


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


class AnalysisConfig(Section):
    """One section per analysis."""

    latent: LatentAnalysisConfig = LatentAnalysisConfig()
