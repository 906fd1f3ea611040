"""Objective `lars`: the encoded continuation, by a decoder of its own; what the authors' released code trains.

It runs no policy, so it is quick, and it leaves the maps of z untrained.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ib_lpo.latent.fitting.pairs import Pair
from ib_lpo.latent.injection import LatentMaps
from ib_lpo.latent.store import CvaeShape
from ib_lpo.manifest import Manifest


class EmbeddingReconstruction:
    """-log N(e(s); decoder(z, e(c)), I) without its constant: half the squared error. e has mean 0 and variance 1 over its features."""

    def __init__(self, manifest: Manifest, shape: CvaeShape, device: str):
        sizes = (shape.dim + shape.features, shape.hidden, shape.features)
        self.trained: nn.Module = nn.Sequential(nn.Linear(*sizes[:2]), nn.SiLU(), nn.Linear(*sizes[1:])).to(device)
        self.maps: LatentMaps | None = None
        self._dim = shape.dim

    def passes(self, pairs: Sequence[Pair]) -> list[slice]:
        return [slice(0, len(pairs))]

    def nll(self, pairs: Sequence[Pair], z: Tensor | None, continuation: Tensor, condition: Tensor) -> Tensor:
        """Without z the decoder gets zeros in its place."""
        wanted, given = (F.layer_norm(features, features.shape[-1:]) for features in (continuation, condition))
        z = given.new_zeros(len(pairs), self._dim) if z is None else z
        decoded = self.trained(torch.cat([z, given], dim=-1))
        return 0.5 * (decoded - wanted).square().sum(-1)
