"""Priors over z: where the K latents of a fork come from (method.md section 1, step 5).

A prior maps a condition to mu and sigma and draws nothing: latent/sampler.py does that.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch

from ib_lpo.errors import UserError
from ib_lpo.latent.cvae import Cvae
from ib_lpo.latent.encoders import build_encoder
from ib_lpo.latent.store import load_cvae, restore
from ib_lpo.manifest import Manifest


class Prior(Protocol):
    """p(z|c)."""

    def moments(self, prefixes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """mu and sigma, float32 [N, dim] each, of N conditions given as token ids (prompt and shared response tokens)."""
        ...


class StandardNormal:
    """p(z|c) = N(0, I)."""

    def __init__(self, dim: int):
        self._dim = dim

    def moments(self, prefixes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        shape = (len(prefixes), self._dim)
        return np.zeros(shape, np.float32), np.ones(shape, np.float32)


class CvaePrior:
    """p(z|c) = N(mu(c), diag sigma(c)^2), the trained prior, on a frozen encoding of the prefix."""

    def __init__(self, manifest: Manifest):
        """Raises UserError when `latent.weights` does not fit the manifest."""
        shape, tensors = load_cvae(manifest)
        self._encode = build_encoder(manifest.latent.encoder, manifest.model)
        if shape.features != self._encode.features:
            raise UserError(
                f"latent.weights={str(manifest.latent.weights)!r}: the prior takes {shape.features} features, latent.encoder gives "
                f"{self._encode.features}; use the encoder and the model it was trained with"
            )
        self._cvae = Cvae(shape).eval()
        restore(self._cvae, tensors, manifest.latent.weights)

    @torch.no_grad()
    def moments(self, prefixes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        prior = self._cvae.p(self._encode(prefixes))
        return prior.mu.numpy(), prior.log_sigma.exp().numpy()


PRIORS: dict[str, Callable[[Manifest], Prior]] = {"normal": lambda manifest: StandardNormal(manifest.latent.dim), "cvae": CvaePrior}


def build_prior(manifest: Manifest) -> Prior:
    """The prior that `latent.kind` names."""
    return PRIORS[manifest.latent.kind](manifest)
