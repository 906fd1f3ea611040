"""Weights that are not in the checkpoint: named before anything starts, and never made up."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from ib_lpo.policy.config import ModelConfig
from ib_lpo.policy.load import PolicyError, load_config, load_policy
from ib_lpo.policy.weights import check_weights, misfit
from tests.policy.tiny import tiny_policy


@pytest.fixture
def saved(policy, tmp_path) -> Path:
    policy.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def change(directory: Path, edit) -> None:
    """Put what `edit` makes of the tensors of the single weight file in their place."""
    tensors = load_file(directory / "model.safetensors")
    save_file(edit(tensors), directory / "model.safetensors", metadata={"format": "pt"})


def drop(directory: Path, dropped: str) -> None:
    change(directory, lambda tensors: {name: tensor for name, tensor in tensors.items() if name != dropped})


def configure(directory: Path, **values) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def refused(directory: Path, match: str, key: str = "model.path") -> None:
    """By the check, in one line that names the setting; and what loads weights refuses as well."""
    with pytest.raises(PolicyError, match=match) as caught:
        check_weights(ModelConfig(path=str(directory)), key)
    assert str(caught.value).startswith(f"{key}={str(directory)!r}: ") and "\n" not in str(caught.value)


def not_loaded(directory: Path) -> None:
    with pytest.raises(PolicyError, match=r"model.path="):
        load_policy(ModelConfig(path=str(directory)), dtype=torch.float32, device="cpu")


def test_whole_weights_pass(saved):
    check_weights(ModelConfig(path=str(saved)))


def test_sharded_and_pickled_weights_pass(policy, tmp_path):
    policy.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert (tmp_path / "shards" / "model.safetensors.index.json").exists()
    check_weights(ModelConfig(path=str(tmp_path / "shards")))
    policy.config.save_pretrained(tmp_path / "pickled")
    torch.save(policy.state_dict(), tmp_path / "pickled" / "pytorch_model.bin")
    check_weights(ModelConfig(path=str(tmp_path / "pickled")))


def test_names_without_their_prefix_and_old_buffers_pass_and_are_loaded(tmp_path):
    policy = tiny_policy("llama")
    policy.save_pretrained(tmp_path)
    configure(tmp_path, tie_word_embeddings=True)

    def base_model(tensors):
        buffers = {"layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
        return {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name != "lm_head.weight"} | buffers

    change(tmp_path, base_model)
    check_weights(ModelConfig(path=str(tmp_path)))
    loaded = load_policy(ModelConfig(path=str(tmp_path)), dtype=torch.float32, device="cpu")
    assert torch.equal(loaded.model.layers[1].mlp.up_proj.weight, policy.model.layers[1].mlp.up_proj.weight)


@pytest.mark.parametrize("name", ["model.norm.weight", "model.layers.1.self_attn.k_proj.weight", "model.embed_tokens.weight"])
def test_one_missing_tensor(saved, name):
    drop(saved, name)
    refused(saved, rf"random in training: {name}; fetch the whole model")
    not_loaded(saved)


def test_a_whole_layer_missing_counts_its_tensors(saved):
    configure(saved, num_hidden_layers=4, layer_types=None)
    refused(saved, r"random in training: model\.layers\.3\.\S+ and \d+ more")
    not_loaded(saved)


def test_an_untied_head_that_is_missing(saved):
    drop(saved, "lm_head.weight")
    refused(saved, "lm_head.weight is not among its weights .* tie_word_embeddings")
    not_loaded(saved)


def test_a_tied_model_needs_no_head_but_none_of_its_own_either(saved):
    configure(saved, tie_word_embeddings=True)
    refused(saved, "tie_word_embeddings=true, and lm_head.weight is not embed_tokens.weight")
    change(saved, lambda tensors: tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()})
    check_weights(ModelConfig(path=str(saved)))
    drop(saved, "lm_head.weight")
    check_weights(ModelConfig(path=str(saved)))


def test_names_as_an_adapter_save_writes_them(saved):
    change(saved, lambda tensors: {f"base_model.model.{name}": tensor for name, tensor in tensors.items()})
    refused(saved, "named base_model.model.*merge the adapter")
    not_loaded(saved)


def test_names_of_a_compiled_or_wrapped_model(saved):
    change(saved, lambda tensors: {f"_orig_mod.{name}": tensor for name, tensor in tensors.items()})
    refused(saved, "random in training")
    not_loaded(saved)


def test_tensors_too_many(saved):
    configure(saved, num_hidden_layers=2, layer_types=None)
    refused(saved, r"not in the model of config.json: model\.layers\.2\.")
    not_loaded(saved)


def test_a_shape_that_is_another(saved):
    configure(saved, intermediate_size=64)
    refused(saved, r"not of the shape that config.json says: .*\[48, 32\] instead of \[64, 32\]|\[32, 48\] instead of \[32, 64\]")
    not_loaded(saved)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_one_number_that_is_not_finite(tmp_path, value, dtype):
    policy = tiny_policy("qwen3").to(dtype)
    policy.model.layers[2].mlp.down_proj.weight.data[3, 5] = value
    policy.save_pretrained(tmp_path)
    refused(tmp_path, r"NaN or infinite numbers in model\.layers\.2\.mlp\.down_proj\.weight \(model\.safetensors\)")


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.9999])
def test_a_file_cut_off_anywhere(kept, tmp_path):
    tiny_policy("llama").save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[: int(kept * file.stat().st_size)])
    refused(tmp_path, "model.safetensors is cut off or damaged")
    not_loaded(tmp_path)


def test_a_pickled_file_cut_off(policy, tmp_path):
    policy.config.save_pretrained(tmp_path)
    torch.save(policy.state_dict(), file := tmp_path / "pytorch_model.bin")
    file.write_bytes(file.read_bytes()[:5000])
    refused(tmp_path, "pytorch_model.bin is cut off or damaged")
    not_loaded(tmp_path)


def test_integer_weights_are_quantised_ones(saved):
    change(saved, lambda tensors: tensors | {"model.norm.weight": torch.ones(32, dtype=torch.int8)})
    refused(saved, "not float16, bfloat16 or float32 in model.safetensors: model.norm.weight")


def test_a_configuration_that_says_quantised(saved):
    configure(saved, quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(PolicyError, match=r"quantised \(gptq\)"):
        load_config(ModelConfig(path=str(saved)))


@pytest.mark.parametrize("with_config", [False, True])
def test_an_adapter_folder_is_named_as_one(tmp_path, with_config):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "some/base"}))
    save_file({"base_model.model.model.layers.0.q_proj.lora_A.weight": torch.ones(2, 2)}, tmp_path / "adapter_model.safetensors")
    if with_config:
        tiny_policy("qwen2").config.save_pretrained(tmp_path)
    for_all = (lambda m: check_weights(m), lambda m: load_policy(m, dtype=torch.float32, device="cpu"))
    for loads in for_all:
        with pytest.raises(PolicyError, match=r"is an adapter .* of 'some/base', not a model; merge it") as caught:
            loads(ModelConfig(path=str(tmp_path)))
        assert "\n" not in str(caught.value)


def test_an_adapter_beside_whole_weights_is_said(saved, capsys):
    (saved / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "some/base"}))
    check_weights(ModelConfig(path=str(saved)))
    assert "of 'some/base') lies beside the weights; it is not applied" in " ".join(capsys.readouterr().out.split())


def test_the_setting_that_named_the_model_is_told(saved):
    drop(saved, "model.norm.weight")
    refused(saved, "model.norm.weight", key="ib.reference_model")


NAMES = st.lists(st.sampled_from(["model.a", "model.b", "model.c", "lm_head.weight", "model.embed_tokens.weight"]), unique=True)


@settings(deadline=None)
@given(NAMES, NAMES, st.booleans())
def test_nothing_is_wrong_exactly_when_every_needed_tensor_is_there_and_no_other(expected, held, tied):
    needed = set(expected) - ({"lm_head.weight"} if tied else set())
    given_ = set(held) | ({"model.embed_tokens.weight"} if tied and "lm_head.weight" in held else set())
    fits = needed <= given_ and given_ <= set(expected)
    shapes = (dict.fromkeys(expected, (2, 3)), dict.fromkeys(held, (2, 3)))
    assert (misfit(*shapes, tied=tied) is None) == fits


def test_a_pickled_file_that_holds_code_is_not_run(policy, tmp_path):
    policy.config.save_pretrained(tmp_path)
    torch.save({"model.norm.weight": torch.ones(32), "more": Path("x")}, tmp_path / "pytorch_model.bin")
    refused(tmp_path, r"pytorch_model.bin is cut off or damaged \(holds pathlib\.\w*Path, which is no tensor\)")
