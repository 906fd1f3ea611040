"""Loading: the accepted architectures, and one-line errors for everything else."""

import pytest
import torch
from transformers import GPT2Config, Qwen2Config, Qwen2ForCausalLM

from ib_lpo.policy import load
from ib_lpo.policy.config import ModelConfig
from ib_lpo.policy.load import PolicyError, load_config, load_policy, load_tokenizer
from tests.policy.tiny import tiny_policy


def test_loads_what_was_saved(policy, tmp_path):
    policy.save_pretrained(tmp_path)
    loaded = load_policy(ModelConfig(path=str(tmp_path)), dtype=torch.float32, device="cpu")
    assert type(loaded) is type(policy)
    assert loaded.config._attn_implementation == "sdpa" and not loaded.training
    for (name, want), (_, got) in zip(policy.named_parameters(), loaded.named_parameters(), strict=True):
        assert torch.equal(want, got), name


def test_dtype_is_honoured(tmp_path):
    tiny_policy("llama").save_pretrained(tmp_path)
    loaded = load_policy(ModelConfig(path=str(tmp_path)), dtype=torch.bfloat16, device="cpu")
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("loads", [load_config, load_tokenizer, lambda m: load_policy(m, dtype=torch.float32, device="cpu")])
def test_a_missing_model_names_the_key_and_the_fix(loads, tmp_path):
    with pytest.raises(PolicyError, match=r"model.path='.*nowhere'.*give a local directory") as caught:
        loads(ModelConfig(path=str(tmp_path / "nowhere")))
    assert "\n" not in str(caught.value)


def test_missing_weights_are_named(tmp_path):
    tiny_policy("qwen3").config.save_pretrained(tmp_path)
    with pytest.raises(PolicyError, match="its weights cannot be loaded"):
        load_policy(ModelConfig(path=str(tmp_path)), dtype=torch.float32, device="cpu")


def test_the_code_of_a_model_is_announced_once_and_before_it_runs(tmp_path, capsys, monkeypatch):
    told = "model.trust_remote_code=true: Python code that comes with"
    seen = []
    monkeypatch.setattr(load.AutoConfig, "from_pretrained", lambda *_, **__: seen.append(capsys.readouterr().out) or Qwen2Config())
    model = ModelConfig(path=str(tmp_path / "model"))
    load_config(model)
    for _ in range(2):
        load_config(model.model_copy(update={"trust_remote_code": True}))
    assert [told in text for text in seen] == [False, True, False]


def test_other_architectures_are_refused(tmp_path):
    GPT2Config().save_pretrained(tmp_path)
    with pytest.raises(PolicyError, match="'gpt2' is not supported; use one of qwen2, qwen3, llama"):
        load_config(ModelConfig(path=str(tmp_path)))


def test_sliding_windows_are_refused(tmp_path):
    config = Qwen2Config(num_hidden_layers=2, hidden_size=32, num_attention_heads=2, use_sliding_window=True, max_window_layers=1)
    config.save_pretrained(tmp_path)
    assert "sliding_attention" in Qwen2ForCausalLM.config_class.from_pretrained(tmp_path).layer_types
    with pytest.raises(PolicyError, match="sliding-window"):
        load_config(ModelConfig(path=str(tmp_path)))
