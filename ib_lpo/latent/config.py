"""Settings of the latent variable and of its injection."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from ib_lpo.section import Section


class EncoderConfig(Section):
    """What the prior p(z|c) sees of a prefix c; frozen, so that it means the same all through a run."""

    kind: Literal["embedding", "sentence"] = "embedding"
    """`embedding`: the starting policy's own input embeddings, mean over the last tokens; `sentence`: a sentence encoder's mean pooling."""
    window: int = Field(256, ge=1)
    """Last tokens of the prefix that count: of the policy's for `embedding`, of the sentence encoder's for `sentence`."""
    path: str | None = None
    """Hub id or directory of the sentence encoder; needed by `kind: sentence`."""
    revision: str | None = None
    """Hub revision of the sentence encoder."""


class PsaConfig(Section):
    """How z acts (method.md section 1, PSA). Gate, slots and init_std hold for the other injections too."""

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
    layer_gates: tuple[float, ...] | None = None
    """Multiplies gamma(t) layer by layer: one number per injected layer, in ascending order; null: 1 for all."""
    init_std: float = Field(0.1, ge=0.0)
    """Scale of untrained maps: standard deviation of the pseudo rows, of the pre-tanh modulation and of the shift for z ~ N(0, I)."""


class LatentConfig(Section):
    """Where z comes from, how it acts and how the loss accounts for it."""

    kind: Literal["none", "normal", "cvae"] = "none"
    """`none`: same prefix, no z; `cvae`: the trained prior p(z|c); `normal`: z ~ N(0, I) through random maps, a control."""
    untrained: bool = False
    """Allows `kind: normal`, whose maps of z are random and never fitted: z is noise, so the run is a control and not the method."""
    injection: Literal["psa", "input", "softmax"] = "psa"
    """`psa`: pseudo self-attention; `input`: gamma(t) W z is added to the input embeddings; `softmax`: to the last hidden state, right
    before the output layer. From the fork on."""
    dim: int = Field(128, ge=1)
    """Dimension of z."""
    temperature: float = Field(1.0, ge=0.0)
    """Multiplies the prior's standard deviation."""
    draw: Literal["iid", "antithetic", "stratified"] = "iid"
    """The K draws of a fork: independent; in pairs eps, -eps; or one from each of K equally likely strata, per dimension."""
    encoder: EncoderConfig = EncoderConfig()
    weights: Path | None = None
    """Directory that `ib-lpo latent fit` wrote, with latent.safetensors and latent.json: the prior, which `kind: cvae` needs and `kind:
    normal` must not have, and the maps of the injection. Without it the maps start random, seeded by the manifest."""
    offpolicy: Literal["truncated_is", "sequence_is", "condition", "none"] = "truncated_is"
    """`truncated_is`: the z-free log-prob is trained, weighted by min(C, pi_old(o|no z)/pi_behaviour(o|z)) of the token; `sequence_is`: by
    that of the branch's whole suffix, which has no bias where the cap C does not bind; `condition`: the log-prob under the z it was
    sampled with is trained, and the maps of the injection with it; `none`: the z-free log-prob, and z is not corrected for."""
    psa: PsaConfig = PsaConfig()
