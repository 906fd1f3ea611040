"""What the plugin needs to know about a run; travels to vLLM's processes inside the model's config.

The engine's vocabulary has RESERVED_ROWS rows after the model's own. The first names the log-prob column that carries H_t; the others
are digits with which the slot placeholders of a branch spell a handle, so that the prefix cache tells latents apart
(rollout/handles.py). Their logits are -inf, so nothing ever samples them and no probability is lost to them.
"""

from dataclasses import asdict, dataclass

from ib_lpo.latent.config import LatentConfig
from ib_lpo.latent.injection import MapShape
from ib_lpo.rollout.config import RESERVED_ROWS

CONFIG_KEY = "ib_lpo"


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginSpec:
    """Vocabulary layout, and how z acts when latents are on."""

    vocab: int  # rows of the model's own vocabulary
    maps: MapShape | None  # None: latent.kind is none
    gate: str = "constant"
    gamma0: float = 0.0
    tau: float = 1.0

    @classmethod
    def of(cls, hf_config, latent: LatentConfig) -> "PluginSpec":
        psa = latent.psa
        shape = None if latent.kind == "none" else MapShape.of(hf_config, latent)
        return cls(vocab=hf_config.vocab_size, maps=shape, gate=psa.gate, gamma0=psa.gamma0, tau=psa.tau)

    @classmethod
    def from_config(cls, hf_config) -> "PluginSpec":
        """Read back what `overrides` stored."""
        stored = dict(getattr(hf_config, CONFIG_KEY))
        if stored["maps"] is not None:
            gates = stored["maps"]["layer_gates"]
            tuples = {"layers": tuple(stored["maps"]["layers"]), "layer_gates": None if gates is None else tuple(gates)}
            stored["maps"] = MapShape(**stored["maps"] | tuples)
        return cls(**stored)

    def overrides(self, architecture: str) -> dict:
        """vLLM `hf_overrides` that select the PSA model and carry this spec."""
        return {"architectures": [architecture], "vocab_size": self.vocab + RESERVED_ROWS, CONFIG_KEY: asdict(self)}

    @property
    def entropy_id(self) -> int:
        return self.vocab

    @property
    def first_digit_id(self) -> int:
        return self.vocab + 1

    @property
    def k_slots(self) -> int:
        return 0 if self.maps is None else self.maps.k_slots
