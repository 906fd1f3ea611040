"""What the learner runs: the policy with its token log-probs and the PSA maps, as one module.

Whatever touches a parameter happens inside PolicyModule.forward, where ZeRO-3 gathers it; the PSA maps are used by name for the same
reason. They are trained under `latent.offpolicy: condition` and frozen otherwise.
"""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from ib_lpo.latent.config import PsaConfig
from ib_lpo.latent.psa import PsaMaps, PsaShape, PsaTerms, psa_terms
from ib_lpo.manifest import Manifest
from ib_lpo.policy.forest import Forest
from ib_lpo.policy.load import PolicyError, load_policy
from ib_lpo.policy.logprobs import token_logprobs
from ib_lpo.policy.packed_attention import install, packed_context
from ib_lpo.seeds import derive


class PolicyModule(nn.Module):
    """A policy with packed attention installed, and the PSA maps or None."""

    def __init__(self, policy: PreTrainedModel, maps: PsaMaps | None, psa: PsaConfig, *, temperature: float, chunk: int):
        super().__init__()
        self.policy = policy
        self.maps = maps
        self._psa, self._temperature, self._chunk = psa, temperature, chunk

    def forward(self, forest: Forest) -> tuple[Tensor, Tensor]:
        """Log-probs of the forest's targets at the sampling temperature and raw entropies, float32 [N], nats.

        Raises ValueError for a forest with latents when there are no maps.
        """
        terms = None if self.maps is None else self._terms(forest.latents)
        if terms is None and forest.latents is not None:
            raise ValueError("a trajectory carries a latent, but latent.kind is none; use the manifest that generated it")
        packed = packed_context(forest, None if forest.latents is None else terms, self._psa)
        hidden = self.policy.model(input_ids=forest.ids, position_ids=forest.positions, use_cache=False, packed=packed).last_hidden_state
        chosen = hidden[0].index_select(0, forest.source)
        logprobs, entropy = token_logprobs(
            chosen, self.policy.lm_head.weight, forest.targets, temperature=self._temperature, chunk=self._chunk
        )
        if terms is not None:
            logprobs = logprobs + 0.0 * sum(term.sum() for term in (terms.k, terms.v, terms.norm))  # a gradient, if only zeros
        return logprobs, entropy

    def _terms(self, latents: Tensor | None) -> PsaTerms:
        """Also without latents, of a zero z: under ZeRO-3 every pass of every rank must use the same parameters in the same order."""
        z = self.maps.kv.new_zeros(1, self.maps.shape.dim) if latents is None else latents.to(self.maps.kv.dtype)
        return psa_terms(self.maps.kv, self.maps.norm, z)


def build_policy(manifest: Manifest, dtype: torch.dtype) -> PolicyModule:
    """The policy on the CPU, and the PSA maps when latents are on. Raises PolicyError."""
    policy = load_policy(manifest.model, dtype=dtype, device="cpu")
    latent, maps = manifest.latent, None
    if latent.kind != "none":
        maps = psa_maps(manifest, PsaShape.of(policy.config, latent.psa, latent.dim), dtype)
        maps.requires_grad_(latent.offpolicy == "condition")
    install(policy, None if maps is None else maps.shape)
    if manifest.learner.gradient_checkpointing:
        policy.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return PolicyModule(policy, maps, latent.psa, temperature=manifest.rollout.temperature, chunk=manifest.learner.logprob_chunk).train()


def psa_maps(manifest: Manifest, shape: PsaShape, dtype: torch.dtype) -> PsaMaps:
    """W_kv and W_n, frozen: from `latent.psa_weights`, else drawn from the manifest's seed. Raises PolicyError for an unfit file."""
    maps = PsaMaps(shape).requires_grad_(False)
    if manifest.latent.psa_weights is None:
        maps.reset(std=manifest.latent.psa.init_std, seed=derive(manifest.seed, "psa"))
    else:
        check_psa_weights(manifest.latent.psa_weights, shape)
        stored = load_file(manifest.latent.psa_weights)
        for name, parameter in maps.named_parameters():
            parameter.data.copy_(stored[f"psa.{name}"])
    return maps.to(dtype)


def check_psa_weights(path: Path, shape: PsaShape) -> None:
    """Raise PolicyError unless the file holds maps of this shape. Reads its header alone."""
    if not path.is_file():
        raise PolicyError(
            f"latent.psa_weights={str(path)!r}: no such file; give a safetensors file with psa.kv and psa.norm, or remove the key"
        )
    with torch.device("meta"):
        needed = {f"psa.{name}": list(parameter.shape) for name, parameter in PsaMaps(shape).named_parameters()}
    with safe_open(path, framework="pt") as stored:
        found = {name: list(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
    for name, size in needed.items():
        if found.get(name) != size:
            raise PolicyError(
                f"latent.psa_weights={str(path)!r}: {name} is {found.get(name, 'absent')}, this model with "
                f"latent.dim and latent.psa as set needs {size}; use the settings it was trained with"
            )
