"""What the learner runs: the policy with its token log-probs and the maps of z, as one module.

Whatever touches a parameter happens inside PolicyModule.forward, where ZeRO-3 gathers it. The maps are trained under
`latent.offpolicy: condition` and frozen otherwise.
"""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ib_lpo.latent.config import PsaConfig
from ib_lpo.latent.injection import LatentMaps, LatentTerms, MapShape
from ib_lpo.latent.store import build_maps
from ib_lpo.manifest import Manifest
from ib_lpo.policy.forest import Forest
from ib_lpo.policy.load import load_policy
from ib_lpo.policy.logprobs import token_logprobs
from ib_lpo.policy.packed_attention import hidden_states, install, packed_context


class PolicyModule(nn.Module):
    """A policy with packed attention installed, and the maps of z or None."""

    def __init__(self, policy: PreTrainedModel, maps: LatentMaps | None, psa: PsaConfig, *, temperature: float, chunk: int):
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
        hidden = hidden_states(self.policy, packed, "psa" if self.maps is None else self.maps.shape.injection)
        chosen = hidden[0].index_select(0, forest.source)
        logprobs, entropy = token_logprobs(
            chosen, self.policy.lm_head.weight, forest.targets, temperature=self._temperature, chunk=self._chunk
        )
        if terms is not None:
            logprobs = logprobs + 0.0 * terms.total()  # a gradient, if only zeros
        return logprobs, entropy

    def _terms(self, latents: Tensor | None) -> LatentTerms:
        """Also without latents, of a zero z: under ZeRO-3 every pass of every rank must use the same parameters in the same order.

        `forward` is called by name: the hooks that DeepSpeed puts around a module's call take tensors alone.
        """
        weight = next(self.maps.parameters())
        return self.maps.forward(weight.new_zeros(1, self.maps.shape.dim) if latents is None else latents.to(weight.dtype))


def build_policy(manifest: Manifest, dtype: torch.dtype) -> PolicyModule:
    """The policy on the CPU, and the maps of z when latents are on. Raises UserError."""
    policy = load_policy(manifest.model, dtype=dtype, device="cpu")
    latent, maps = manifest.latent, None
    if latent.kind != "none":
        maps = build_maps(manifest, MapShape.of(policy.config, latent), dtype)
        maps.requires_grad_(latent.offpolicy == "condition")
    install(policy, None if maps is None else maps.shape)
    if manifest.learner.gradient_checkpointing:
        policy.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return PolicyModule(policy, maps, latent.psa, temperature=manifest.rollout.temperature, chunk=manifest.learner.logprob_chunk).train()
