"""The device table of latents in flight: one row per running request, row 0 for every request without z.

Everything a token needs is a pure function of (its absolute index in the engine's sequence, its request's row). Chunked prefill,
preemption with recomputation and prefix-cache hits are therefore right by construction.
"""

import numpy as np
import torch
from torch import Tensor

from ib_lpo.latent.injection import LatentMaps, gate
from ib_lpo.rollout.plugin.spec import PluginSpec

NO_FORK = 1 << 30  # index that no token reaches
Z_KEY = "ib_lpo_z"  # SamplingParams.extra_args: float32 bytes of z
FORK_KEY = "ib_lpo_fork"  # SamplingParams.extra_args: index of the first slot in the engine's sequence


class LatentRows:
    """Persistent buffers, so that CUDA graphs may capture them. `capacity` requests at a time, `max_tokens` per iteration.

    `heads` are the kv heads that this process computes (plugin/parallel.py); the tables k and v hold those alone.
    """

    def __init__(
        self,
        spec: PluginSpec,
        maps: LatentMaps,
        *,
        heads: slice,
        capacity: int,
        max_tokens: int,
        device: torch.device,
        dtype: torch.dtype,
    ):
        shape, rows = spec.maps, capacity + 1
        n = len(shape.layers)
        self._maps = maps
        self._heads = heads
        self._slots = shape.k_slots
        self._latents: dict[int, Tensor] = {}
        self._loads = 0
        self._dtype = dtype
        self._device = device
        self.k = torch.zeros(rows, n, shape.k_slots, heads.stop - heads.start, shape.head_dim, dtype=dtype, device=device)
        self.v = torch.zeros_like(self.k)
        self.norm = torch.zeros(n, 2, rows, shape.hidden, dtype=dtype, device=device)
        shifted = shape.hidden if shape.injection != "psa" else 0
        self.shift = torch.zeros(rows, shifted, dtype=dtype, device=device)
        self.fork = torch.full((rows,), NO_FORK, dtype=torch.int64, device=device)
        self._forks = np.full(rows, NO_FORK, dtype=np.int64)  # what `fork` holds, known without asking the device
        self.token_rows = torch.zeros(max_tokens, dtype=torch.int64, device=device)

    @torch.no_grad()
    def put(self, row: int, z: bytes, fork: int) -> None:
        """Let `row` (>= 1) stand for a request with latent `z` whose slots begin at index `fork`."""
        self._latents[row] = torch.frombuffer(bytearray(z), dtype=torch.float32).to(self._device, self._dtype)
        self.fork[row] = self._forks[row] = fork
        self._fill(row)

    def clear(self, row: int) -> None:
        self._latents.pop(row, None)
        self.fork[row] = self._forks[row] = NO_FORK

    def has_slots(self, rows: np.ndarray, begin: np.ndarray, count: np.ndarray) -> bool:
        """Whether an iteration computes a slot: request i is in row rows[i] and computes `count[i]` tokens from index `begin[i]` on."""
        forks = self._forks[rows]
        return bool(((begin < forks + self._slots) & (begin + count > forks)).any())

    @torch.no_grad()
    def follow(self, loads: int) -> None:
        """Recompute every row from its z when the model has loaded weights since the last call; `loads` is its counter."""
        if loads != self._loads:
            for row in self._latents:
                self._fill(row)
            self._loads = loads

    def _fill(self, row: int) -> None:
        terms = self._maps(self._latents[row])
        self.k[row], self.v[row] = terms.k[:, :, self._heads], terms.v[:, :, self._heads]
        self.norm[:, :, row] = terms.norm
        if terms.shift is not None:
            self.shift[row] = terms.shift

    def assign_tokens(self, rows: Tensor) -> None:
        """Row of each scheduled token, int64 [T]; padding tokens beyond T belong to row 0."""
        self.token_rows.zero_()
        self.token_rows[: rows.shape[0]].copy_(rows, non_blocking=True)

    def inputs(self) -> dict[str, Tensor]:
        """Keyword arguments of the PSA model's forward."""
        tables = {"psa_k": self.k, "psa_v": self.v, "psa_norm": self.norm, "psa_shift": self.shift, "psa_fork": self.fork}
        return tables | {"psa_rows": self.token_rows}


def token_terms(positions: Tensor, rows: Tensor, fork: Tensor, spec: PluginSpec) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Per token [T]: is it a slot (bool); which slot (int64); its gate gamma (float32); its rotary position (int64).

    `positions` are absolute indices in the engine's sequence. The slots consume no rotary position.
    """
    k = spec.k_slots
    offset = positions - fork[rows]
    is_slot = (offset >= 0) & (offset < k)
    after = offset >= k
    since = (offset - k).clamp_min(0)
    gamma = torch.where(after, gate(since, kind=spec.gate, gamma0=spec.gamma0, tau=spec.tau), 0.0)
    return is_slot, offset.clamp(0, k - 1), gamma, torch.where(after, positions - k, positions)
