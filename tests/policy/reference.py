"""Straight-line PSA forward for one sequence: explicit loops over layers, heads and query tokens; no transformers forward."""

import math

import torch


def rms(h, norm):
    return h / torch.sqrt((h * h).mean(-1, keepdim=True) + norm.variance_epsilon) * norm.weight


def rotate(x, position, theta):
    half = x.shape[-1] // 2
    angle = position * theta ** (-torch.arange(half, dtype=torch.float32) / half)
    a, b = x[:half], x[half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()])


def gamma(t, psa):
    return {
        "exponential": lambda: psa.gamma0 * math.exp(-t / psa.tau),
        "linear": lambda: psa.gamma0 * max(0.0, 1 - t / psa.tau),
        "cosine": lambda: psa.gamma0 * 0.5 * (1 + math.cos(math.pi * min(1.0, t / psa.tau))),
        "constant": lambda: psa.gamma0,
    }[psa.gate]()


def modulation(layers, layer, which, maps, z, fork, psa, length, hidden):
    """[L, hidden] factors of one norm."""
    factors = torch.ones(length, hidden)
    if z is not None and layer in layers:
        place = layers.index(layer)
        direction = torch.tanh(maps.norm[place, which] @ z) * (1.0 if psa.layer_gates is None else psa.layer_gates[place])
        for i in range(fork, length):
            factors[i] = 1 + gamma(i - fork, psa) * direction
    return factors


def attention(model, layer, h, slots, fork):
    """Attention output [L, heads * d] of normed h [L, hidden]; slots: (K_z, V_z) each [k, kv_heads, d], or None."""
    module, config = model.model.layers[layer].self_attn, model.config
    theta, d = config.rope_parameters["rope_theta"], module.head_dim
    group = config.num_attention_heads // config.num_key_value_heads
    q, k, v = (proj(h).view(len(h), -1, d) for proj in (module.q_proj, module.k_proj, module.v_proj))
    if hasattr(module, "q_norm"):
        q, k = rms(q, module.q_norm), rms(k, module.k_norm)
    out = torch.zeros_like(q)
    for head in range(config.num_attention_heads):
        kv = head // group
        for i in range(len(h)):
            query = rotate(q[i, head], i, theta)
            keys = [rotate(k[j, kv], j, theta) for j in range(i + 1)]
            values = [v[j, kv] for j in range(i + 1)]
            if slots is not None and i >= fork:
                keys = [*slots[0][:, kv], *keys]
                values = [*slots[1][:, kv], *values]
            scores = torch.stack([query @ key for key in keys]) / math.sqrt(d)
            out[i, head] = torch.softmax(scores, 0) @ torch.stack(values)
    return module.o_proj(out.reshape(len(h), -1))


def shift(maps, z, fork, psa, length, hidden):
    """[L, hidden], what z adds to the embeddings or to the last hidden states."""
    added = torch.zeros(length, hidden)
    if z is not None:
        for i in range(fork, length):
            added[i] = gamma(i - fork, psa) * (maps.shift @ z)
    return added


@torch.no_grad()
def reference_logits(model, ids, maps, layers, psa, z=None, fork=0, attend=attention, injection="psa"):
    """Logits [L, V] of ids [L]; z acts on tokens at and after index `fork`."""
    h = model.model.embed_tokens(ids)
    if injection == "input":
        h = h + shift(maps, z, fork, psa, *h.shape)
    for layer, block in enumerate(model.model.layers):
        slots = None
        if z is not None and layer in layers:
            slots = tuple(maps.kv[layers.index(layer), side] @ z for side in (0, 1))
        factor = [modulation(layers, layer, which, maps, z, fork, psa, *h.shape) for which in (0, 1)]
        h = h + attend(model, layer, rms(h, block.input_layernorm) * factor[0], slots, fork)
        h = h + block.mlp(rms(h, block.post_attention_layernorm) * factor[1])
    h = rms(h, model.model.norm)
    if injection == "softmax":
        h = h + shift(maps, z, fork, psa, *h.shape)
    return model.lm_head(h)
