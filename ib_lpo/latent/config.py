"""Settings of the latent variable and of its injection."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from ib_lpo.section import Section


class PsaConfig(Section):
    """Pseudo self-attention (method.md section 1, PSA)."""

    k_slots: int = Field(4, ge=1)
    """Pseudo key/value rows per injected layer and kv head."""
    layers: Literal["all"] | int | tuple[int, ...] = 4
    """Injected layers: `all`, the last n (an integer), or a list of indices."""
    gate: Literal["exponential", "linear", "cosine", "constant"] = "exponential"
    """Shape of gamma(t), t = tokens since the fork."""
    gamma0: float = Field(1.0, ge=0.0)
    """Gate at the fork, dimensionless."""
    tau: float = Field(256.0, gt=0.0)
    """Decay length of the gate, tokens."""
    init_std: float = Field(0.1, ge=0.0)
    """Scale of untrained W_kv and W_n: standard deviation of the pseudo rows and of the pre-tanh modulation for z ~ N(0, I)."""


class LatentConfig(Section):
    """Where z comes from and how the loss accounts for it."""

    kind: Literal["none", "normal", "cvae"] = "normal"
    """`none`: same prefix, no z (the control); `normal`: z ~ N(0, I); `cvae`: the trained prior p(z|c)."""
    dim: int = Field(128, ge=1)
    """Dimension of z."""
    temperature: float = Field(1.0, ge=0.0)
    """Multiplies the prior's standard deviation."""
    weights: Path | None = None
    """Directory with cvae.safetensors and cvae.json; needed by `kind: cvae`."""
    psa_weights: Path | None = None
    """safetensors file with trained PSA maps; without it they start random, seeded by the manifest."""
    offpolicy: Literal["truncated_is", "condition", "none"] = "truncated_is"
    """`truncated_is`: the z-free log-prob is trained, weighted by min(C, pi_old(o|no z)/pi_behaviour(o|z)); `condition`: the log-prob
    under the z it was sampled with is trained, and the PSA maps with it; `none`: the z-free log-prob, and z is not corrected for."""
    psa: PsaConfig = PsaConfig()
