"""What rank 0 must hold is known before anything starts, and the manifests in configs/ have room for it."""

from pathlib import Path

import pytest
from transformers import Qwen2Config, Qwen3Config

from ib_lpo.errors import UserError
from ib_lpo.manifest import load, validate
from ib_lpo.weights import staging
from tests.project.test_configs import MANIFESTS

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
MODELS = {
    "Qwen/Qwen2.5-7B": Qwen2Config(
        vocab_size=152064,
        hidden_size=3584,
        intermediate_size=18944,
        num_hidden_layers=28,
        num_attention_heads=28,
        num_key_value_heads=4,
        tie_word_embeddings=False,
    ),
    "Qwen/Qwen3-14B": Qwen3Config(
        vocab_size=151936,
        hidden_size=5120,
        intermediate_size=17408,
        num_hidden_layers=40,
        num_attention_heads=40,
        num_key_value_heads=8,
        head_dim=128,
        tie_word_embeddings=False,
    ),
}
LARGE = [path for path in MANIFESTS if load(path).model.path in MODELS]


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setattr(staging, "load_config", lambda model: MODELS[model.path])


def test_the_large_models_are_among_them():
    assert {load(path).model.path for path in LARGE} == set(MODELS)


@pytest.mark.parametrize("path", LARGE, ids=lambda path: path.stem)
def test_configs_have_room_for_two_versions_and_maps_of_z(path):
    manifest = load(path)
    spare = manifest.weights.model_copy(update={"staging_gb": manifest.weights.staging_gb - 0.5})
    staging.check_staging(manifest.model_copy(update={"weights": spare}), "cuda")


def test_a_policy_that_does_not_fit_is_refused_from_its_configuration_alone():
    manifest = validate({"name": "m", "steps": 1, "model": {"path": "Qwen/Qwen3-14B"}})
    with pytest.raises(UserError, match=r"weights.staging_gb=32: 2 versions of the policy in bfloat16 take 59.1 GB") as refused:
        staging.check_staging(manifest, "cuda")
    assert "\n" not in str(refused.value)
    with pytest.raises(UserError, match=r"in float32 take 118.1 GB.*weights.dtype: bfloat16"):
        staging.check_staging(manifest, "cpu")


def test_an_engine_that_waits_for_weights_is_no_suspect():
    values = {"name": "m", "steps": 1, "model": {"path": "m"}}
    assert validate(values).weights.deadline_s < validate(values).cluster.suspect_after_s
    with pytest.raises(UserError, match=r"weights.deadline_s=60: .*cluster.suspect_after_s=60"):
        validate(values | {"cluster": {"suspect_after_s": 60}})
