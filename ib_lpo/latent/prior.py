"""Priors over z: where the K latents of a fork come from (method.md section 1, step 5).

Every prior maps a condition to mu and sigma; the draw itself is here once: z_k = mu + temperature * sigma * eps_k with
eps ~ N(0, I) from the fork's own seed, so that a re-issued fork gets the same latents.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ib_lpo.errors import UserError
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


@dataclass(frozen=True, slots=True, kw_only=True)
class CvaeShape:
    """Sizes in cvae.json."""

    dim: int  # of z
    features: int  # of the encoded condition
    hidden: int
    window: int  # last tokens of the prefix that the encoder pools


class PriorNetwork(nn.Module):
    """The CVAE's prior head: encoded condition [N, features] -> mu, log sigma [N, dim] each."""

    def __init__(self, shape: CvaeShape):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(shape.features, shape.hidden), nn.SiLU(), nn.Linear(shape.hidden, 2 * shape.dim))

    def forward(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        mu, log_sigma = self.body(condition).chunk(2, dim=-1)
        return mu, log_sigma.clamp(-6, 3)


class CvaePrior:
    """p(z|c) = N(mu(c), diag sigma(c)^2), the trained prior, on a frozen encoding of the prefix."""

    def __init__(self, directory: Path, encode: Callable[[Sequence[np.ndarray], int], Tensor], dim: int):
        """`encode(prefixes, window)` gives features float32 [N, features]. Raises UserError when the files do not fit."""
        try:
            shape = CvaeShape(**json.loads((directory / "cvae.json").read_text()))
            self._network = PriorNetwork(shape)
            weights = {k.removeprefix("prior."): v for k, v in load_file(directory / "cvae.safetensors").items() if k.startswith("prior.")}
            self._network.load_state_dict(weights)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            cause = " ".join(str(error).split())[:200]
            raise UserError(f"latent.weights={str(directory)!r}: no usable cvae.json and cvae.safetensors there ({cause})") from None
        if shape.dim != dim:
            raise UserError(f"latent.dim={dim}: the prior in {str(directory)!r} has dimension {shape.dim}; set latent.dim to that")
        self._shape, self._encode = shape, encode

    @torch.no_grad()
    def moments(self, prefixes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        mu, log_sigma = self._network(self._encode(prefixes, self._shape.window))
        return mu.numpy(), log_sigma.exp().numpy()


def save_prior(directory: Path, network: PriorNetwork, shape: CvaeShape) -> None:
    """Write cvae.json and cvae.safetensors, as `latent.weights` expects them."""
    directory.mkdir(parents=True, exist_ok=True)
    save_file({f"prior.{name}": tensor.contiguous() for name, tensor in network.state_dict().items()}, directory / "cvae.safetensors")
    (directory / "cvae.json").write_text(json.dumps(asdict(shape), indent=1))


def build_prior(manifest: Manifest) -> Prior:
    """The prior that `latent.kind` names."""
    return PRIORS[manifest.latent.kind](manifest)


def _cvae(manifest: Manifest) -> CvaePrior:
    from ib_lpo.latent.encoder import EmbeddingEncoder

    return CvaePrior(manifest.latent.weights, EmbeddingEncoder(manifest.model), manifest.latent.dim)


PRIORS: dict[str, Callable[[Manifest], Prior]] = {"normal": lambda manifest: StandardNormal(manifest.latent.dim), "cvae": _cvae}
