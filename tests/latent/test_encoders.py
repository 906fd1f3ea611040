"""Prefix encoders: the fork end is kept, and company and padding change nothing."""

import string
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from ib_lpo.errors import UserError
from ib_lpo.latent.config import EncoderConfig
from ib_lpo.latent.encoders import ENCODERS, build_encoder, sentence
from ib_lpo.manifest import ManifestError, validate
from ib_lpo.policy.config import ModelConfig
from tests.rollout.serving import VOCAB, policy

POSITIONS = 40  # of the sentence encoder
WINDOW = 12
LENGTHS = (1, 3, 30, 7, 30, 12, 90, 2)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> ModelConfig:
    """A tiny policy, and a tokenizer with one token per character and a special end token."""
    directory = tmp_path_factory.mktemp("policy")
    policy("qwen3").save_pretrained(directory)
    letters = string.ascii_letters
    raw = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>").save_pretrained(directory)
    return ModelConfig(path=str(directory))


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> Path:
    """A tiny random sentence encoder that has a token for every letter; its tokenizer pads and cuts on the right when left alone."""
    directory = tmp_path_factory.mktemp("bert")
    pieces = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *string.ascii_letters]
    raw = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    raw.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    raw.enable_padding(length=POSITIONS)
    raw.enable_truncation(5)
    names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    PreTrainedTokenizerFast(tokenizer_object=raw, **names).save_pretrained(directory)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    config = BertConfig(vocab_size=len(pieces), max_position_embeddings=POSITIONS, initializer_range=0.5, **sizes)
    BertModel(config).save_pretrained(directory)
    return directory


@pytest.fixture(params=sorted(ENCODERS))
def encode(request, model, bert):
    return build_encoder(EncoderConfig(kind=request.param, window=WINDOW, path=str(bert)), model)


@pytest.fixture(scope="module")
def tokenizer(model):
    return PreTrainedTokenizerFast.from_pretrained(model.path)


def prefixes(lengths=LENGTHS) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 52, size=n).astype(np.int32) for n in lengths]


def test_batched_is_one_at_a_time(encode, monkeypatch):
    monkeypatch.setattr(sentence, "_TOKENS_PER_PASS", 30)  # several passes, in another order than asked for
    together = encode(prefixes())
    assert together.shape == (len(LENGTHS), encode.features) and together.dtype == torch.float32 and together.device.type == "cpu"
    torch.testing.assert_close(together, torch.cat([encode([prefix]) for prefix in prefixes()]), rtol=1e-5, atol=1e-6)
    assert torch.pdist(together).min() > 1e-3  # each has features of its own


def test_the_fork_end_of_a_long_prefix_is_kept(encode):
    end = prefixes([WINDOW])[0]
    long, longer = (np.concatenate([np.full(n, 7, np.int32), end]) for n in (20, 90))
    torch.testing.assert_close(encode([long]), encode([longer]))
    changed = long.copy()
    changed[-1] = (changed[-1] + 1) % 52
    assert (encode([long]) - encode([changed])).abs().max() > 1e-3


def test_no_prefix_and_an_empty_prefix(encode):
    assert encode([]).shape == (0, encode.features)
    with pytest.raises(ValueError, match="empty prefix"):
        encode([*prefixes([3]), np.zeros(0, np.int32)])


def test_embeddings_are_the_mean_of_the_last_rows(model):
    table = policy("qwen3").get_input_embeddings().weight.detach().double()
    encode = build_encoder(EncoderConfig(window=WINDOW), model)
    drawn = [np.random.default_rng(n).integers(0, VOCAB, size=n).astype(np.int32) for n in LENGTHS]
    expected = []
    for ids in drawn:
        total = torch.zeros(table.shape[1], dtype=torch.float64)
        for token in ids.tolist()[-WINDOW:]:
            total += table[token]
        expected.append(total / min(WINDOW, len(ids)))
    torch.testing.assert_close(encode(drawn), torch.stack(expected).float())


def test_a_bfloat16_table_is_summed_in_float32(model, tmp_path):
    table = load_file(Path(model.path) / "model.safetensors")["model.embed_tokens.weight"].bfloat16()
    save_file({"model.embed_tokens.weight": table}, tmp_path / "model.safetensors")
    ids = prefixes([200])[0]
    found = build_encoder(EncoderConfig(window=256), ModelConfig(path=str(tmp_path)))([ids])
    torch.testing.assert_close(found[0], table[torch.from_numpy(ids).long()].double().mean(0).float())


@pytest.mark.parametrize("window", [WINDOW, 10_000], ids=["window", "positions"])
def test_sentences_are_the_normalised_mean_of_hidden_states(model, bert, tokenizer, window):
    """Straight-line: no batch, no mask, no padding."""
    network = BertModel.from_pretrained(bert).eval()
    letters = {letter: i for i, letter in enumerate(string.ascii_letters, start=4)}
    found = build_encoder(EncoderConfig(kind="sentence", window=window, path=str(bert)), model)(prefixes())
    for features, ids in zip(found, prefixes(), strict=True):
        text = [letters[character] for character in tokenizer.decode(ids.tolist())]
        kept = [1, *text[-(min(window, POSITIONS) - 2) :], 2]
        with torch.no_grad():
            mean = network(input_ids=torch.tensor([kept])).last_hidden_state[0].mean(0)
        torch.testing.assert_close(features, mean / mean.norm(), rtol=1e-5, atol=1e-6)


def test_padding_has_no_weight_in_a_mean():
    hidden, mask = torch.randn(2, 5, 3), torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]])
    found = sentence.mean_over(hidden, mask)
    hidden[0, 2:] = 1e6
    torch.testing.assert_close(sentence.mean_over(hidden, mask), found)
    torch.testing.assert_close(found[0], (hidden[0, 0] + hidden[0, 1]) / 2)


def test_passes_hold_every_text_once_and_few_tokens():
    lengths = np.random.default_rng(0).integers(1, 3000, size=200).tolist()
    passes = list(sentence._passes(lengths))
    assert sorted(index for members in passes for index in members) == list(range(200))
    budget = sentence._TOKENS_PER_PASS
    assert all(len(members) * max(lengths[i] for i in members) <= budget for members in passes)
    assert list(sentence._passes([budget + 1, 1, budget + 2])) == [[1], [0], [2]]


def test_special_tokens_of_the_policy_are_not_encoded(model, bert, tokenizer):
    encode = build_encoder(EncoderConfig(kind="sentence", path=str(bert)), model)
    plain, marked = prefixes([6])[0], np.insert(prefixes([6])[0], [0, 3], tokenizer.eos_token_id)
    torch.testing.assert_close(encode([marked]), encode([plain]))
    only_markers = encode([np.full(2, tokenizer.eos_token_id, np.int32)])
    assert only_markers.norm().item() == pytest.approx(1)


def test_a_missing_sentence_encoder_is_a_user_error(model, bert, tmp_path):
    for path in (None, str(tmp_path)):
        with pytest.raises(UserError, match=r"latent\.encoder\.path=.*tools/fetch_minilm\.py") as caught:
            build_encoder(EncoderConfig(kind="sentence", path=path), model)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"latent\.encoder\.window=2: .* more than 2"):
        build_encoder(EncoderConfig(kind="sentence", path=str(bert), window=2), model)


def test_a_damaged_or_partial_sentence_encoder_is_refused(model, bert, tmp_path):
    for file in bert.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "model.safetensors"
    network = load_file(weights)
    save_file({name: tensor for name, tensor in network.items() if not name.startswith("pooler.")}, weights, {"format": "pt"})
    assert build_encoder(EncoderConfig(kind="sentence", path=str(tmp_path)), model).features == 32
    save_file({name: tensor for name, tensor in network.items() if "layer.1." not in name}, weights, {"format": "pt"})
    with pytest.raises(UserError, match=r"weights are missing, encoder\.layer\.1"):
        build_encoder(EncoderConfig(kind="sentence", path=str(tmp_path)), model)
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"latent\.encoder\.path="):
        build_encoder(EncoderConfig(kind="sentence", path=str(tmp_path)), model)


def test_a_manifest_that_names_no_sentence_encoder_is_refused():
    latent = {"kind": "cvae", "weights": "w", "encoder": {"kind": "sentence"}}
    raw = {"name": "t", "steps": 1, "model": {"path": "p"}}
    with pytest.raises(ManifestError, match=r"latent\.encoder\.path=null"):
        validate(raw | {"latent": latent})
    validate(raw | {"latent": latent | {"encoder": {"kind": "sentence", "path": "e"}}})
    validate(raw | {"latent": latent | {"kind": "normal", "untrained": True, "weights": None}})
