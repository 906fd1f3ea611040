"""Watched attention is the learner's attention, and what it reports is what was done to it."""

import numpy as np
import pytest
import torch

from ib_lpo.analysis.latent import attention as watched
from ib_lpo.latent.config import LatentConfig, PsaConfig
from ib_lpo.latent.injection import LatentMaps, MapShape
from ib_lpo.manifest import validate
from ib_lpo.policy.forest import Path, plant
from ib_lpo.policy.packed_attention import hidden_states, install, packed_context
from tests.policy.tiny import tiny_policy

DIM, START = 8, 7
IDS = np.random.default_rng(4).integers(1, 97, 14).astype(np.int32)
Z = np.random.default_rng(5).standard_normal(DIM).astype(np.float32)


def setting(injection, std=1.0, architecture="llama"):
    latent = LatentConfig(dim=DIM, injection=injection, psa=PsaConfig(layers=(1, 2), k_slots=3, tau=5.0))
    policy = tiny_policy(architecture)
    maps = LatentMaps(MapShape.of(policy.config, latent))
    maps.reset(std=std, seed=1)
    manifest = validate({"name": "t", "steps": 1, "model": {"path": "unused"}}).model_copy(update={"latent": latent})
    return policy, maps, manifest


def effect(policy, maps, manifest):
    watch = watched._Watch()
    watched._watch(policy, maps.shape, watch)
    return watched._of_branch(policy, maps, manifest, watch, IDS, START, Z)


def forward(policy, maps, psa):
    forest = plant([Path(ids=IDS, start=START, latent=Z)], share=True)
    with torch.no_grad():
        return hidden_states(policy, packed_context(forest, maps(forest.latents), psa), maps.shape.injection)


@pytest.mark.parametrize("injection", ["psa", "input", "softmax"])
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_watching_changes_nothing(injection, architecture):
    policy, maps, manifest = setting(injection, architecture=architecture)
    install(policy, maps.shape)
    want = forward(policy, maps, manifest.latent.psa)
    policy, maps, manifest = setting(injection, architecture=architecture)
    watched._watch(policy, maps.shape, watched._Watch())
    torch.testing.assert_close(forward(policy, maps, manifest.latent.psa), want, atol=2e-5, rtol=1e-4)


def test_slots_have_mass_in_injected_layers_alone():
    found = effect(*setting("psa"))
    assert found.slot_mass.shape == found.moved.shape == (3, 4)
    assert (found.slot_mass[0] == 0).all() and (found.moved[0] == 0).all()
    assert (found.slot_mass[1:] > 0).all() and (found.slot_mass < 1).all()
    assert (found.moved >= found.slot_mass - 1e-9).all()  # what the slots took is missing elsewhere


def test_zero_maps_leave_empty_slots_their_plain_share():
    """K_z = 0 gives every slot the weight of a score of 0, which no norm and no value can change."""
    policy, maps, manifest = setting("psa", std=0.0)
    found = effect(policy, maps, manifest)
    assert (found.slot_mass[1:] > 0).all()
    np.testing.assert_allclose(found.moved[1], found.slot_mass[1], rtol=1e-5)


def test_input_fusion_moves_every_layer_and_softmax_fusion_none():
    assert (effect(*setting("input")).moved > 1e-4).all()
    softmax = effect(*setting("softmax"))
    assert (softmax.moved == 0).all() and (softmax.slot_mass == 0).all()
