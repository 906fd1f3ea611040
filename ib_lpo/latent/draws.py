"""The K noise vectors of a fork, so that its latents spread as wanted (method.md section 1, step 5).

Whatever the kind, every vector alone is distributed as N(0, I): a branch's latent is a draw from the prior. What the kinds differ in is how
the vectors of one fork lie to one another. A vector is a function of kind, count, dim and the generator's state, of nothing else.
"""

from collections.abc import Callable

import numpy as np
import torch

_CLOSEST = 2.0**-53  # of a probability to 0 and to 1


def _iid(count: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((count, dim), dtype=np.float32)


def _antithetic(count: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    """Rows in pairs eps, -eps, so that a pair's mean is 0; the last of an odd count has no partner."""
    half = _iid(-(-count // 2), dim, rng)
    return np.stack([half, -half], axis=1).reshape(-1, dim)[:count]


def _stratified(count: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    """Latin hypercube (McKay et al. 1979): in each dimension, one row in each of `count` equally likely intervals of N(0, 1)."""
    stratum = rng.permuted(np.tile(np.arange(count)[:, None], (1, dim)), axis=0)
    probability = np.clip((stratum + rng.random((count, dim))) / count, _CLOSEST, 1 - _CLOSEST)
    return torch.special.ndtri(torch.from_numpy(probability)).numpy().astype(np.float32)


DRAWS: dict[str, Callable[[int, int, np.random.Generator], np.ndarray]] = {
    "iid": _iid,
    "antithetic": _antithetic,
    "stratified": _stratified,
}


def noise(kind: str, count: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    """float32 [count, dim] of the kind that `latent.draw` names."""
    return DRAWS[kind](count, dim, rng)
