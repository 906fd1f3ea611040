"""The interface of an objective."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from torch import Tensor, nn

from ib_lpo.latent.fitting.pairs import Pair
from ib_lpo.latent.injection import LatentMaps


class Objective(Protocol):
    """How well latents explain continuations. `trained`: its own parameters, of which `maps` are kept for the policy."""

    trained: nn.Module
    maps: LatentMaps | None

    def passes(self, pairs: Sequence[Pair]) -> Iterable[slice]:
        """What of `pairs` is computed at a time, in order."""
        ...

    def nll(self, pairs: Sequence[Pair], z: Tensor | None, continuation: Tensor, condition: Tensor) -> Tensor:
        """-log p(s|c, z) of every pair, nats, float32 [N], differentiable in z and in the trained parameters.

        z float32 [N, dim], None: without z; encoded texts float32 [N, features].
        """
        ...
