"""Objective `lm`: the tokens of the continuation, by the frozen policy under the injection of z."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from ib_lpo.latent.fitting.pairs import Pair
from ib_lpo.latent.injection import MapShape
from ib_lpo.latent.store import CvaeShape, untrained_maps
from ib_lpo.manifest import Manifest
from ib_lpo.policy.dtype import compute_dtype
from ib_lpo.policy.forest import Path, plant
from ib_lpo.policy.load import load_policy
from ib_lpo.policy.logprobs import token_logprobs
from ib_lpo.policy.packed_attention import hidden_states, install, packed_context


class LanguageModelling:
    """-log pi(s|c, z), summed over the target's tokens, at temperature 1. The policy never changes; the maps of z do."""

    def __init__(self, manifest: Manifest, shape: CvaeShape, device: str):
        self._psa, self._chunk = manifest.latent.psa, manifest.learner.logprob_chunk
        self._budget, self._dim, self._device = manifest.latent_fit.max_tokens_per_pass, shape.dim, device
        self._policy = load_policy(manifest.model, dtype=compute_dtype(manifest.learner, device), device=device).requires_grad_(False)
        self.maps = untrained_maps(manifest, MapShape.of(self._policy.config, manifest.latent)).to(device).requires_grad_(True)
        self.trained: nn.Module = self.maps
        install(self._policy, self.maps.shape)

    def nll(self, pairs: Sequence[Pair], z: Tensor | None, continuation: Tensor, condition: Tensor) -> Tensor:
        """One forward pass; what pairs share before their forks runs once."""
        marker = None if z is None else np.zeros(self._dim, np.float32)
        forest = plant([Path(ids=pair.ids, start=pair.start, latent=marker) for pair in pairs], share=True).to(self._device)
        terms = None if z is None else self.maps(z)
        packed = packed_context(replace(forest, latents=z), terms, self._psa)
        hidden = hidden_states(self._policy, packed, self.maps.shape.injection)[0].index_select(0, forest.source)
        logprobs, _ = token_logprobs(hidden, self._policy.lm_head.weight, forest.targets, chunk=self._chunk)
        owner = torch.repeat_interleave(torch.tensor([len(pair.target) for pair in pairs], device=self._device))
        return -logprobs.new_zeros(len(pairs)).index_add(0, owner, logprobs)

    def passes(self, pairs: Sequence[Pair]) -> Iterator[slice]:
        """Neighbouring pairs of at most the budget's tokens, or one pair."""
        low, used = 0, 0
        for high, pair in enumerate(pairs):
            if high > low and used + len(pair.ids) > self._budget:
                yield slice(low, high)
                low, used = high, 0
            used += len(pair.ids)
        if pairs:
            yield slice(low, len(pairs))
