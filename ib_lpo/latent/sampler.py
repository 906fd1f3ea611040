"""LatentSampler: K latents for every fork, as a worker of its own.

z_k = mu(c) + latent.temperature * sigma(c) * eps_k, with eps_k from the fork's own seed, so that a re-issued fork gets the same latents.
"""

from dataclasses import dataclass

import numpy as np

from ib_lpo.latent.draws import noise
from ib_lpo.latent.prior import build_prior
from ib_lpo.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentRequest:
    """One fork."""

    prefix_ids: np.ndarray  # int32 [P], the condition c
    count: int  # K
    seed: int


class LatentSampler:
    """Runs inside one worker. A fork's latents depend on its prefix and seed; what is asked for beside it
    changes at most the last bits of mu and sigma."""

    def __init__(self, manifest: Manifest):
        self._latent = manifest.latent
        self._prior = None if manifest.latent.kind == "none" else build_prior(manifest)

    def ready(self) -> bool:
        return True

    def sample(self, forks: list[LatentRequest]) -> list[list[np.ndarray | None]]:
        """For each fork K latents, float32 [dim], from the tempered prior in the manner of `latent.draw`; K times None for
        `latent.kind: none`. The encoder runs once for all forks."""
        if self._prior is None:
            return [[None] * fork.count for fork in forks]
        mu, sigma = self._prior.moments([fork.prefix_ids for fork in forks])
        return [self._draw(mu[i], sigma[i], fork) for i, fork in enumerate(forks)]

    def _draw(self, mu: np.ndarray, sigma: np.ndarray, fork: LatentRequest) -> list[np.ndarray]:
        eps = noise(self._latent.draw, fork.count, mu.size, np.random.default_rng(fork.seed))
        return list(mu + self._latent.temperature * sigma * eps)
