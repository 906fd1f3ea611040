"""Which policy and encoder a latent belongs to: their weights, wherever they lie."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from ib_lpo.errors import UserError
from ib_lpo.latent.config import EncoderConfig
from ib_lpo.latent.identity import encoder_identity, policy_identity
from ib_lpo.policy.config import ModelConfig
from tests.policy.tiny import tiny_policy

TABLE = "model.embed_tokens.weight"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model")
    tiny_policy("llama").save_pretrained(directory)
    return directory


def changed(saved, to, name, by=1.0):
    """A copy of the model with one number of one tensor changed."""
    shutil.copytree(saved, to, dirs_exist_ok=True)
    tensors = load_file(to / "model.safetensors")
    tensors[name].view(-1)[11] += by
    save_file(tensors, to / "model.safetensors", metadata={"format": "pt"})
    return to


def of_policy(path):
    return policy_identity(ModelConfig(path=str(path)))


def of_sentences(path):
    return encoder_identity(EncoderConfig(kind="sentence", path=str(path)), ModelConfig(path="unused"))


def test_a_policy_is_known_by_its_input_embeddings(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "copy")
    assert of_policy(tmp_path / "copy") == of_policy(saved) and len(of_policy(saved)) == 16
    assert of_policy(changed(saved, tmp_path / "other", TABLE)) != of_policy(saved)
    assert encoder_identity(EncoderConfig(), ModelConfig(path=str(saved))) == of_policy(saved)


def test_what_is_saved_over_is_read_again(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "model")
    before = of_policy(tmp_path / "model")
    assert of_policy(changed(saved, tmp_path / "model", TABLE)) != before


def test_files_of_one_model_in_parts_are_the_same_model(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "parts")
    tensors = load_file(tmp_path / "parts/model.safetensors")
    (tmp_path / "parts/model.safetensors").unlink()
    save_file({TABLE: tensors.pop(TABLE)}, tmp_path / "parts/a.safetensors")
    save_file(tensors, tmp_path / "parts/b.safetensors")
    where = {TABLE: "a.safetensors"} | dict.fromkeys(tensors, "b.safetensors")
    (tmp_path / "parts/model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    assert of_policy(tmp_path / "parts") == of_policy(saved)


def test_a_sentence_encoder_is_known_by_all_its_weights(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "copy")
    assert of_sentences(tmp_path / "copy") == of_sentences(saved)
    assert of_sentences(changed(saved, tmp_path / "other", "model.norm.weight")) != of_sentences(saved)
    torch.save({}, tmp_path / "pytorch_model.bin")
    assert len(of_sentences(tmp_path)) == 64


def test_an_encoder_without_weights_is_one_line(tmp_path):
    for path in (tmp_path, tmp_path / "gone"):
        with pytest.raises(UserError, match=rf"^latent\.encoder\.path='{path}': no weights of a sentence encoder there; give") as caught:
            of_sentences(path)
        assert "\n" not in str(caught.value)
