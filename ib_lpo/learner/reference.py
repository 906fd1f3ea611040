"""The reference of the KL term: the starting policy, frozen (method.md section 3).

It is always the manifest's model, also in a resumed run, and no part of any checkpoint. It is sharded over the ranks by an engine of its
own, which shares nothing with the one that trains.
"""

from typing import Any

import torch
from torch import Tensor

from ib_lpo.learner import zero
from ib_lpo.learner.model import PolicyModule
from ib_lpo.manifest import Manifest
from ib_lpo.policy.forest import Forest
from ib_lpo.policy.load import load_policy
from ib_lpo.policy.packed_attention import install


class Reference:
    """log pi_ref of a forest's targets. Every rank calls it equally often."""

    def __init__(self, engine: Any):
        self._engine = engine

    @torch.no_grad()
    def __call__(self, forest: Forest) -> Tensor:
        """Log-probs at the sampling temperature, float32 [N], nats, without gradient. Raises ValueError for a forest with latents."""
        return self._engine(forest)[0]

    def destroy(self) -> None:
        """Free the engine; the process group stays."""
        self._engine.destroy()


def build_reference(manifest: Manifest, dtype: torch.dtype, device: str) -> Reference:
    """The manifest's model without PSA maps, its shards on `device`, or in CPU memory with `learner.kl.offload`. Collective, after
    `zero.join_group`. Raises PolicyError for a model that cannot be loaded."""
    policy = load_policy(manifest.model, dtype=dtype, device="cpu")
    install(policy, None)
    module = PolicyModule(policy, None, manifest.latent.psa, temperature=manifest.rollout.temperature, chunk=manifest.learner.logprob_chunk)
    return Reference(zero.build_frozen_engine(module, dtype, device, offload=manifest.learner.kl.offload))
