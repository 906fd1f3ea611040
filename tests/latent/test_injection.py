"""The maths of the injections by itself."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig

from ib_lpo.errors import UserError
from ib_lpo.latent.config import LatentConfig
from ib_lpo.latent.injection import GATES, LatentMaps, MapShape, gate, injected_layers

SHAPE = MapShape(dim=64, k_slots=3, layers=(1, 3), num_layers=4, kv_heads=2, head_dim=8, hidden=48)


@settings(deadline=None)
@given(st.sampled_from(sorted(GATES)), st.floats(0, 3), st.floats(0.5, 500))
def test_gates_start_at_gamma0_and_never_rise(kind, gamma0, tau):
    values = gate(torch.arange(200), kind=kind, gamma0=gamma0, tau=tau)
    assert values.dtype == torch.float32
    assert values[0] == pytest.approx(gamma0, rel=1e-6)
    assert (values.diff() <= 1e-6).all()
    assert (values >= -1e-6).all()


def test_gate_values():
    t = torch.tensor([0, 5, 10, 20])
    expected = {
        "exponential": [2.0, 2 * math.exp(-0.5), 2 * math.exp(-1), 2 * math.exp(-2)],
        "linear": [2.0, 1.0, 0.0, 0.0],
        "cosine": [2.0, 1.0, 0.0, 0.0],
        "constant": [2.0, 2.0, 2.0, 2.0],
    }
    for kind, values in expected.items():
        torch.testing.assert_close(gate(t, kind=kind, gamma0=2.0, tau=10.0), torch.tensor(values), atol=1e-6, rtol=1e-6)


def test_terms_are_the_linear_maps_of_z():
    maps = LatentMaps(SHAPE)
    maps.reset(std=0.3, seed=5)
    z = torch.randn(2, 7, SHAPE.dim)
    terms = maps(z)
    assert terms.k.shape == terms.v.shape == (2, 7, 2, 3, 2, 8)
    assert terms.norm.shape == (2, 7, 2, 2, 48)
    one = z[1, 4]
    torch.testing.assert_close(terms.k[1, 4, 1, 2, 0], maps.kv[1, 0, 2, 0] @ one)
    torch.testing.assert_close(terms.v[1, 4, 0, 1, 1], maps.kv[0, 1, 1, 1] @ one)
    torch.testing.assert_close(terms.norm[1, 4, 1, 0], torch.tanh(maps.norm[1, 0] @ one))


def test_fusion_has_one_map_and_no_layers():
    for injection in ("input", "softmax"):
        maps = LatentMaps(replace(SHAPE, injection=injection, layers=()))
        maps.reset(std=0.3, seed=5)
        assert [name for name, _ in maps.named_parameters()] == ["shift"]
        z = torch.randn(2, 7, SHAPE.dim)
        terms = maps(z)
        torch.testing.assert_close(terms.shift[1, 4], maps.shift @ z[1, 4])
        assert terms.k.shape == terms.v.shape == (2, 7, 0, 3, 2, 8) and terms.norm.shape == (2, 7, 0, 2, 48)
        torch.testing.assert_close(terms.total(), terms.shift.sum())
        assert maps(torch.randn(500, SHAPE.dim)).shift.std().item() == pytest.approx(0.3, rel=0.1)


def test_layer_gates_multiply_the_modulation_of_their_layer_alone():
    plain, gated = LatentMaps(SHAPE), LatentMaps(replace(SHAPE, layer_gates=(0.5, -2.0)))
    plain.reset(std=0.3, seed=5), gated.reset(std=0.3, seed=5)
    z = torch.randn(7, SHAPE.dim)
    torch.testing.assert_close(gated(z).norm[:, 0], 0.5 * plain(z).norm[:, 0])
    torch.testing.assert_close(gated(z).norm[:, 1], -2.0 * plain(z).norm[:, 1])
    torch.testing.assert_close(gated(z).k, plain(z).k)


def test_one_gate_per_injected_layer():
    config = LlamaConfig(num_hidden_layers=4, hidden_size=48, num_attention_heads=6, num_key_value_heads=2)
    latent = LatentConfig(psa={"layers": 2, "layer_gates": [1.0, 0.5]})
    assert MapShape.of(config, latent).layer_gates == (1.0, 0.5) and MapShape.of(config, latent).layers == (2, 3)
    assert MapShape.of(config, latent.model_copy(update={"injection": "input"})).layers == ()
    with pytest.raises(UserError, match=r"^latent\.psa\.layer_gates=\[1\.0\]: 2 layers are injected; give one number for each, or null$"):
        MapShape.of(config, LatentConfig(psa={"layers": 2, "layer_gates": [1.0]}))


def test_reset_is_seeded_and_scaled():
    first, second, other = LatentMaps(SHAPE), LatentMaps(SHAPE), LatentMaps(SHAPE)
    first.reset(std=0.3, seed=5), second.reset(std=0.3, seed=5), other.reset(std=0.3, seed=6)
    assert torch.equal(first.kv, second.kv)
    assert not torch.equal(first.kv, other.kv)
    assert first(torch.randn(500, SHAPE.dim)).k.std().item() == pytest.approx(0.3, rel=0.1)


def test_injected_layers():
    assert injected_layers("all", 3) == (0, 1, 2)
    assert injected_layers(2, 5) == (3, 4)
    assert injected_layers((4, 0, 4), 5) == (0, 4)
    for bad in (0, 6, (), (5,), (-1,)):
        with pytest.raises(UserError, match=r"latent\.psa\.layers"):
            injected_layers(bad, 5)
