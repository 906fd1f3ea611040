"""The tiny model: its examples, its loss, and the folder it is saved in."""

import json
from dataclasses import replace
from itertools import islice

import make_tiny_model
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_model.band import Band, BandError
from tiny_model.examples import batches, examples, fresh_items
from tiny_model.network import make_network, make_tokenizer
from tiny_model.recipe import Recipe
from tiny_model.tasks import TASKS
from tiny_model.tasks.base import Phase
from tiny_model.warmup import response_loss
from transformers import AutoModelForCausalLM, AutoTokenizer

from ib_lpo.data.config import DataConfig, SourceConfig
from ib_lpo.errors import UserError

TASK = {"min_terms": 3, "max_terms": 4, "min_digits": 1, "max_digits": 1}
DATA = DataConfig(train=SourceConfig(size=32, options=TASK), held_out=SourceConfig(size=8, seed=10**6, options=TASK))
PHASES = (
    Phase(name="a", bare=True, most_steps=3, check_every=2, bands={"accuracy": Band(0.0)}),
    Phase(name="b", most_steps=4, check_every=2, bands={"accuracy": Band(0.0, 0.5)}),
)
RECIPE = Recipe(data=DATA, hidden=32, layers=2, phases=PHASES)


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer(
        [e.prompt + e.response for e in islice(examples(RECIPE, bare=False, held_out=set(), stream="0"), 50)], max_context=256
    )


@given(st.text(max_size=30))
def test_every_text_round_trips(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@given(st.integers(-999, 999), st.sampled_from(["", "3 - 9 = -6. ", "Work at once: ", "so\n", "x"]))
def test_a_boxed_answer_has_the_same_ids_anywhere(tokenizer, value, before):
    answer = tokenizer(f"\\boxed{{{value}}}")["input_ids"]
    assert tokenizer(f"{before}\\boxed{{{value}}}")["input_ids"] == tokenizer(before)["input_ids"] + answer
    assert sum(tokenizer.decode(i).isdigit() for i in answer) == len(str(abs(value)))


def test_examples_repeat_by_seed_and_leave_out_held_out_questions():
    def prompts(recipe, held_out=frozenset(), stream="0"):
        return [e.prompt for e in islice(examples(recipe, bare=False, held_out=set(held_out), stream=stream), 30)]

    first = prompts(RECIPE)
    question = first[4].split("\n")[0]
    assert prompts(RECIPE) == first != prompts(RECIPE, stream="1")
    assert first[4] in first and first[4] not in prompts(RECIPE, {question})
    assert "boxed{}" in first[0] and DATA.template.format(q=question) == first[4]


def test_batches_hold_every_example_once():
    import random

    source = examples(RECIPE, bare=True, held_out=set(), stream="0")
    shown = [e for batch in islice(batches(source, 4, random.Random(0)), 16) for e in batch]
    assert sorted(shown) == sorted(islice(examples(RECIPE, bare=True, held_out=set(), stream="0"), 64))


def test_loss_is_that_of_the_response_tokens_alone(tokenizer):
    """Against one unpadded pass per example."""
    model = make_network(tokenizer, hidden=32, layers=2, vocabulary=512, max_context=256, seed=0)
    batch = list(islice(examples(RECIPE, bare=False, held_out=set(), stream="0"), 5))
    total, count = 0.0, 0
    for example in batch:
        prompt, response = tokenizer(example.prompt)["input_ids"], tokenizer(example.response)["input_ids"]
        response = [*response, tokenizer.eos_token_id]
        logits = model(torch.tensor([prompt + response])).logits[0].log_softmax(-1)
        for offset, token in enumerate(response):
            total -= logits[len(prompt) + offset - 1, token].item()
            count += 1
    assert response_loss(model, tokenizer, batch).item() == pytest.approx(total / count, abs=1e-5)


def test_settings_that_matter_change_the_digest():
    assert replace(RECIPE, data=DATA.model_copy(update={"questions_per_step": 3})).digest == RECIPE.digest
    others = [
        replace(RECIPE, seed=1),
        replace(RECIPE, data=DATA.model_copy(update={"template": "{q}"})),
        replace(RECIPE, phases=PHASES[:1]),
    ]
    assert len({recipe.digest for recipe in (RECIPE, *others)}) == 4


def test_fresh_items_are_different_and_not_held_out():
    first = fresh_items(RECIPE, 20, held_out=set(), stream="checks")
    assert len({item.question for item in first}) == 20
    left = fresh_items(RECIPE, 20, held_out={item.question for item in first[:5]}, stream="checks")
    assert left[:15] == first[5:] and len(left) == 20


@pytest.mark.slow
def test_make_saves_a_loadable_model_and_is_deterministic(tmp_path):
    folder = tmp_path / "models" / "tiny"
    make_tiny_model.make(folder, RECIPE)
    assert make_tiny_model.complete(folder, RECIPE) and not make_tiny_model.complete(folder, replace(RECIPE, seed=1))
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.config.model_type == "qwen3" and model.dtype == torch.float32 and model.config.vocab_size > len(tokenizer) + 100
    assert tokenizer.eos_token_id == model.config.eos_token_id != tokenizer.pad_token_id == model.config.pad_token_id
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    marker = json.loads((folder / "tiny_model.json").read_text())
    assert marker["task"] == "sums" and 0.0 <= marker["at the last check"]["accuracy"] <= 0.5
    make_tiny_model.make(tmp_path / "again", RECIPE)
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "again").state_dict()
    assert all(torch.equal(weight, again[name]) for name, weight in model.state_dict().items())


def test_a_folder_without_marker_is_not_complete(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert not make_tiny_model.complete(tmp_path, RECIPE)


@pytest.mark.slow
def test_a_band_that_is_not_reached_leaves_no_model(tmp_path):
    phases = (Phase(name="b", most_steps=2, check_every=2, bands={"accuracy": Band(0.9, 0.95)}),)
    with pytest.raises(BandError, match=r"accuracy 0\.0.*0\.9 to 0\.95.*--seed"):
        make_tiny_model.make(tmp_path / "tiny", replace(RECIPE, phases=phases))
    assert not (tmp_path / "tiny").exists()


def test_a_manifest_of_no_known_task_is_refused():
    data = DataConfig(train=SourceConfig(name="spell_backward", size=8))
    with pytest.raises(UserError, match=f"reasoning_gym spell_backward.*{', '.join(list(TASKS)[-1:])}"):
        _ = Recipe(data=data).task
    with pytest.raises(UserError, match="file chain_sum"):
        _ = Recipe(data=DataConfig(train=SourceConfig(kind="file", name="chain_sum"))).task
