"""Pseudo self-attention: the one definition of its maths, in plain torch (method.md section 1; Ziegler et al. 2019).

For an injected layer and a query token t tokens after the fork (t = 0 at the last prefix token, which is recomputed with z):

    RMSNorm_z(h) = RMSNorm(h) * (1 + gamma(t) * tanh(W_n z))      attention-input norm and MLP-input norm
    K' = [K_z ; K],  V' = [V_z ; V],  (K_z, V_z) = W_kv z         k_slots rows per kv head, no rotary position
    Attn = softmax(Q K'^T / sqrt(d)) V'

The rollout engine, the learner and the tests all compute these terms from here; nothing in this file knows vLLM or transformers.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ib_lpo.errors import UserError
from ib_lpo.latent.config import PsaConfig


def _exponential(t: Tensor, tau: float) -> Tensor:
    return torch.exp(-t / tau)


def _linear(t: Tensor, tau: float) -> Tensor:
    return (1 - t / tau).clamp_min(0)


def _cosine(t: Tensor, tau: float) -> Tensor:
    return 0.5 * (1 + torch.cos(math.pi * (t / tau).clamp_max(1)))


def _constant(t: Tensor, tau: float) -> Tensor:
    return torch.ones_like(t)


GATES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "exponential": _exponential,
    "linear": _linear,
    "cosine": _cosine,
    "constant": _constant,
}


def gate(t: Tensor, *, kind: str, gamma0: float, tau: float) -> Tensor:
    """gamma(t), float32, for t = tokens since the fork (t >= 0), any shape."""
    return gamma0 * GATES[kind](t.float(), tau)


@dataclass(frozen=True, slots=True, kw_only=True)
class PsaShape:
    """Sizes of the PSA maps for one policy architecture."""

    dim: int  # of z
    k_slots: int
    layers: tuple[int, ...]  # injected layers, ascending
    num_layers: int
    kv_heads: int
    head_dim: int
    hidden: int

    @classmethod
    def of(cls, hf_config, psa: PsaConfig, dim: int) -> "PsaShape":
        """Sizes from a transformers config (Qwen2, Qwen3, Llama). Raises UserError for layers the model does not have."""
        depth = hf_config.num_hidden_layers
        head_dim = getattr(hf_config, "head_dim", None) or hf_config.hidden_size // hf_config.num_attention_heads
        return cls(
            dim=dim,
            k_slots=psa.k_slots,
            layers=injected_layers(psa.layers, depth),
            num_layers=depth,
            kv_heads=hf_config.num_key_value_heads,
            head_dim=head_dim,
            hidden=hf_config.hidden_size,
        )


def injected_layers(layers: str | int | tuple[int, ...], depth: int) -> tuple[int, ...]:
    """Ascending indices of the injected layers of a model with `depth` layers. Raises UserError when one does not exist."""
    if layers == "all":
        return tuple(range(depth))
    if isinstance(layers, int):
        if not 1 <= layers <= depth:
            raise UserError(f"latent.psa.layers={layers}: the model has {depth} layers; use a number from 1 to {depth} or `all`")
        return tuple(range(depth - layers, depth))
    chosen = tuple(sorted(set(layers)))
    if not chosen or chosen[0] < 0 or chosen[-1] >= depth:
        raise UserError(f"latent.psa.layers={list(layers)}: indices must be within 0..{depth - 1}, at least one")
    return chosen


@dataclass(frozen=True, slots=True)
class PsaTerms:
    """What z contributes. n = injected layers, in the order of PsaShape.layers; `...` = batch dimensions of z."""

    k: Tensor  # [..., n, k_slots, kv_heads, head_dim]
    v: Tensor  # [..., n, k_slots, kv_heads, head_dim]
    norm: Tensor  # [..., n, 2, hidden], tanh(W_n z); index 0: attention-input norm, 1: MLP-input norm


class PsaMaps(nn.Module):
    """W_kv and W_n of all injected layers. Parameter names on the wire and on disk: `psa.kv`, `psa.norm`."""

    def __init__(self, shape: PsaShape, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.shape = shape
        n = len(shape.layers)
        self.kv = nn.Parameter(torch.empty(n, 2, shape.k_slots, shape.kv_heads, shape.head_dim, shape.dim, dtype=dtype))
        self.norm = nn.Parameter(torch.empty(n, 2, shape.hidden, shape.dim, dtype=dtype))

    @torch.no_grad()
    def reset(self, *, std: float, seed: int) -> None:
        """Draw both maps so that, for z ~ N(0, I), pseudo rows and pre-tanh modulations have standard deviation `std`."""
        rng = torch.Generator().manual_seed(seed)
        for parameter in (self.kv, self.norm):
            draw = torch.randn(parameter.shape, generator=rng) * (std / math.sqrt(self.shape.dim))
            parameter.copy_(draw)

    def forward(self, z: Tensor) -> PsaTerms:
        """Terms of z [..., dim]."""
        return psa_terms(self.kv, self.norm, z)


def psa_terms(kv: Tensor, norm: Tensor, z: Tensor) -> PsaTerms:
    """Terms of z [..., dim] under the weights of PsaMaps."""
    pairs = torch.einsum("npskhd,...d->...npskh", kv, z)
    return PsaTerms(
        k=pairs[..., 0, :, :, :],
        v=pairs[..., 1, :, :, :],
        norm=torch.tanh(torch.einsum("nphd,...d->...nph", norm, z)),
    )
