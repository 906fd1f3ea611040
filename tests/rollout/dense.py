"""The straight-line PSA forward of tests/policy/reference.py with its attention as one dense softmax, for long sequences."""

import math

import torch

from tests.policy.reference import reference_logits, rms


def rotate_all(x, theta):
    """x [L, heads, d] at positions 0..L-1."""
    half = x.shape[-1] // 2
    angle = torch.arange(len(x))[:, None, None] * theta ** (-torch.arange(half) / half)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


def attention(model, layer, h, slots, fork):
    module, config = model.model.layers[layer].self_attn, model.config
    theta, d = config.rope_parameters["rope_theta"], module.head_dim
    q, k, v = (proj(h).view(len(h), -1, d) for proj in (module.q_proj, module.k_proj, module.v_proj))
    if hasattr(module, "q_norm"):
        q, k = rms(q, module.q_norm), rms(k, module.k_norm)
    q, k = rotate_all(q, theta), rotate_all(k, theta)
    seen = torch.ones(len(h), len(h), dtype=torch.bool).tril()
    if slots is not None:
        k, v = torch.cat([slots[0], k]), torch.cat([slots[1], v])
        sees_slots = (torch.arange(len(h)) >= fork)[:, None].expand(-1, len(slots[0]))
        seen = torch.cat([sees_slots, seen], 1)
    group = config.num_attention_heads // config.num_key_value_heads
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    scores = torch.einsum("qhd,khd->hqk", q, k) / math.sqrt(d)
    weights = scores.masked_fill(~seen, -math.inf).softmax(-1)
    return module.o_proj(torch.einsum("hqk,khd->qhd", weights, v).reshape(len(h), -1))


def dense_logits(*args, **kwargs):
    """`reference_logits`, for long sequences."""
    return reference_logits(*args, **kwargs, attend=attention)
