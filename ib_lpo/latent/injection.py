"""How a latent z acts on the policy: the one definition of the maths, in plain torch (method.md section 1).

For a token t tokens after the fork of its own branch (t = 0 at the last prefix token, which is recomputed with z), `latent.injection` is

    psa      in each injected layer (pseudo self-attention, Ziegler et al. 2019):
             RMSNorm_z(h) = RMSNorm(h) * (1 + gamma(t) * g_l * tanh(W_n z))   attention-input norm and MLP-input norm
             K' = [K_z ; K],  V' = [V_z ; V],  (K_z, V_z) = W_kv z            k_slots rows per kv head, no rotary position
             Attn = softmax(Q K'^T / sqrt(d)) V'
    input    e' = e + gamma(t) * W z          on the token's input embedding
    softmax  h' = h + gamma(t) * W z          on the last hidden state, so that the logits get gamma(t) * W_out W z

The rollout engine, the learner and the tests all compute these terms from here; nothing in this file knows vLLM or transformers.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ib_lpo.errors import UserError
from ib_lpo.latent.config import LatentConfig


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
class MapShape:
    """Sizes of the maps of z for one policy architecture."""

    injection: str = "psa"
    dim: int  # of z
    k_slots: int
    layers: tuple[int, ...]  # injected layers, ascending; none unless the injection is psa
    layer_gates: tuple[float, ...] | None = None  # g_l, one per injected layer; None: 1 for all
    num_layers: int
    kv_heads: int
    head_dim: int
    hidden: int

    @classmethod
    def of(cls, hf_config, latent: LatentConfig) -> "MapShape":
        """Sizes from a transformers config (Qwen2, Qwen3, Llama). Raises UserError for layers the model does not have."""
        psa, depth = latent.psa, hf_config.num_hidden_layers
        layers = injected_layers(psa.layers, depth) if latent.injection == "psa" else ()
        if layers and psa.layer_gates is not None and len(psa.layer_gates) != len(layers):
            raise UserError(
                f"latent.psa.layer_gates={list(psa.layer_gates)}: {len(layers)} layers are injected; give one number for each, or null"
            )
        return cls(
            injection=latent.injection,
            dim=latent.dim,
            k_slots=psa.k_slots,
            layers=layers,
            layer_gates=psa.layer_gates if layers else None,
            num_layers=depth,
            kv_heads=hf_config.num_key_value_heads,
            head_dim=getattr(hf_config, "head_dim", None) or hf_config.hidden_size // hf_config.num_attention_heads,
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


MAPS = "maps."  # what the names of the maps begin with among the policy's own


@dataclass(frozen=True, slots=True)
class LatentTerms:
    """What z contributes. n = injected layers, in the order of MapShape.layers; `...` = batch dimensions of z."""

    k: Tensor  # [..., n, k_slots, kv_heads, head_dim]
    v: Tensor  # [..., n, k_slots, kv_heads, head_dim]
    norm: Tensor  # [..., n, 2, hidden], g_l * tanh(W_n z); index 0: attention-input norm, 1: MLP-input norm
    shift: Tensor | None = None  # [..., hidden], W z of the injections input and softmax

    def total(self) -> Tensor:
        """The sum of all numbers, so that every map can be made to have a part in a result."""
        return sum(term.sum() for term in (self.k, self.v, self.norm, self.shift) if term is not None)


class LatentMaps(nn.Module):
    """W_kv and W_n of all injected layers, or W. On the wire and on disk their names begin with MAPS."""

    def __init__(self, shape: MapShape, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.shape = shape
        n = len(shape.layers)
        sizes = {"kv": (n, 2, shape.k_slots, shape.kv_heads, shape.head_dim), "norm": (n, 2, shape.hidden)}
        for name, size in sizes.items() if shape.injection == "psa" else [("shift", (shape.hidden,))]:
            self.register_parameter(name, nn.Parameter(torch.empty(*size, shape.dim, dtype=dtype)))

    @torch.no_grad()
    def reset(self, *, std: float, seed: int) -> None:
        """Draw the maps so that, for z ~ N(0, I), pseudo rows, pre-tanh modulations and shifts have standard deviation `std`."""
        rng = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            draw = torch.randn(parameter.shape, generator=rng) * (std / math.sqrt(self.shape.dim))
            parameter.copy_(draw)

    def forward(self, z: Tensor) -> LatentTerms:
        """Terms of z [..., dim]."""
        shape = self.shape
        if shape.injection != "psa":
            rows = z.new_zeros(*z.shape[:-1], 0, shape.k_slots, shape.kv_heads, shape.head_dim)
            return LatentTerms(rows, rows, z.new_zeros(*z.shape[:-1], 0, 2, shape.hidden), torch.einsum("hd,...d->...h", self.shift, z))
        pairs = torch.einsum("npskhd,...d->...npskh", self.kv, z)
        norm = torch.tanh(torch.einsum("nphd,...d->...nph", self.norm, z))
        if shape.layer_gates is not None:
            norm = norm * norm.new_tensor(shape.layer_gates)[:, None, None]
        return LatentTerms(k=pairs[..., 0, :, :, :], v=pairs[..., 1, :, :, :], norm=norm)
