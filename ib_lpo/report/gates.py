"""Where z acts on a branch and how strongly, as a reader of the report sees it."""

import numpy as np
import torch

from ib_lpo.latent.injection import gate, injected_layers
from ib_lpo.manifest import Manifest
from ib_lpo.policy.load import load_config


def gate_values(manifest: Manifest, tokens: int) -> list[float]:
    """gamma(t) under which each of `tokens` tokens of a branch was drawn, dimensionless.

    Token i of a branch is drawn by the token before it, t = i tokens after the fork. Empty without a latent.
    """
    psa = manifest.latent.psa
    if manifest.latent.kind == "none":
        return []
    values = gate(torch.arange(tokens), kind=psa.gate, gamma0=psa.gamma0, tau=psa.tau)
    return np.round(values.numpy().astype(float), 4).tolist()


def describe_gate(manifest: Manifest) -> dict[str, str] | None:
    """Formula, place and source of z in words; None without a latent. Raises PolicyError when the model cannot be read."""
    latent, psa = manifest.latent, manifest.latent.psa
    if latent.kind == "none":
        return None
    shapes = {
        "exponential": f"{psa.gamma0:g} · exp(-t / {psa.tau:g})",
        "linear": f"{psa.gamma0:g} · max(0, 1 - t / {psa.tau:g})",
        "cosine": f"{psa.gamma0:g} · (1 + cos(π · min(1, t / {psa.tau:g}))) / 2",
        "constant": f"{psa.gamma0:g}",
    }
    return {"formula": f"\N{GREEK SMALL LETTER GAMMA}(t) = {shapes[psa.gate]}", "where": _where(manifest), "source": _source(manifest)}


def _where(manifest: Manifest) -> str:
    latent, psa = manifest.latent, manifest.latent.psa
    if latent.injection == "input":
        return "added to the input embeddings"
    if latent.injection == "softmax":
        return "added to the last hidden state, before the output layer"
    depth = load_config(manifest.model).num_hidden_layers
    layers = injected_layers(psa.layers, depth)
    named = f"{layers[0]}-{layers[-1]}" if list(layers) == list(range(layers[0], layers[-1] + 1)) else ", ".join(map(str, layers))
    gates = "" if psa.layer_gates is None else f"; times {', '.join(f'{g:g}' for g in psa.layer_gates)} layer by layer"
    return f"in layers {named} (from 0) of {depth} by pseudo self-attention, {psa.k_slots} slots each{gates}"


def _source(manifest: Manifest) -> str:
    prior = "the trained prior p(z|c)" if manifest.latent.kind == "cvae" else "N(0, I)"
    return f"{manifest.latent.dim} numbers drawn from {prior}, {manifest.latent.draw}"
