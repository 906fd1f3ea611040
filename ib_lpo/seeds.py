"""Deterministic seeds: every random choice is a pure function of the manifest seed and of what it is for."""

import hashlib

import numpy as np


def derive(*parts: object) -> int:
    """A 63-bit seed from the run's seed and a path such as (seed, step, "rollout", trajectory id)."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(*parts: object) -> np.random.Generator:
    """A numpy generator seeded by `derive`."""
    return np.random.default_rng(derive(*parts))
