"""Which tokens end a response: the union of what the model says in four places, or what the manifest says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.branching.metrics import ending_metrics
from ib_lpo.errors import UserError
from ib_lpo.policy.config import ModelConfig
from ib_lpo.policy.stop_tokens import describe_stop_tokens, end_tokens, markers, stop_tokens, turn_end
from tests.policy.chat import save_configs, word_tokenizer
from tests.scoring.trees import trajectory, tree

BOS, EOS, TURN, END, OTHER = 1, 2, 3, 4, 5


def model(path) -> ModelConfig:
    return ModelConfig(path=str(path))


@pytest.mark.parametrize(
    ("config", "generation", "template", "ends"),
    [
        (OTHER, None, True, {EOS, END, OTHER}),  # a base model with a chat template: nobody but the template names its turn's end
        (None, None, True, {EOS, END}),
        (None, OTHER, False, {EOS, OTHER}),
        (OTHER, [EOS, 7], False, {EOS, 7, OTHER}),
        ([OTHER, 7], END, False, {EOS, END, OTHER, 7}),
    ],
)
def test_the_union_of_all_four_counts(tmp_path, config, generation, template, ends):
    save_configs(tmp_path, config=config, generation=generation)
    tokenizer = word_tokenizer() if template else word_tokenizer(None)
    assert list(stop_tokens(model(tmp_path), None, tokenizer)) == sorted(ends)


def test_what_is_beyond_the_vocabulary_is_left_out(tmp_path):
    save_configs(tmp_path, config=OTHER, vocab_size=5)
    assert list(end_tokens(model(tmp_path), word_tokenizer())) == [EOS, END]


@pytest.mark.parametrize(
    ("template", "end"),
    [
        ("{% for m in messages %}{{ m.role }} {{ m.content }} <|end|> {% endfor %}", END),
        ("{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}", EOS),
        ("{% for m in messages %}{% if m.role == 'assistant' %}<|other|> think {% endif %}{{ m.content }}\n\n<|end|>{% endfor %}", END),
        ("{% for m in messages %}{{ m.role }} {{ m.content | trim }} {% endfor %}", None),
        ("{% for m in messages %}{{ m.content }} user {% endfor %}", None),  # a word, which answers hold too
        ("{{ raise_exception('tools only') }}", None),
        (None, None),
    ],
)
def test_the_end_of_a_turn_is_the_special_token_behind_the_answer(template, end):
    assert turn_end(word_tokenizer(template)) == end


def test_the_manifest_may_say_otherwise(tmp_path):
    save_configs(tmp_path, config=EOS)
    assert list(stop_tokens(model(tmp_path), ["<|other|>", 7], word_tokenizer())) == [OTHER, 7]
    assert stop_tokens(model(tmp_path), [], word_tokenizer()) == {}


@pytest.mark.parametrize("wrong", ["one two", "", "nothing-known", 15, -1])
def test_a_chosen_one_that_is_no_token_is_one_line(tmp_path, wrong):
    save_configs(tmp_path)
    with pytest.raises(UserError, match=r"rollout\.stop_tokens: .* is not one token of the model") as caught:
        stop_tokens(model(tmp_path), [wrong], word_tokenizer())
    assert "\n" not in str(caught.value)


def test_the_start_says_tokens_ids_and_who_names_them(tmp_path):
    save_configs(tmp_path, config=EOS)
    text = describe_stop_tokens(end_tokens(model(tmp_path), word_tokenizer()), word_tokenizer())
    assert text == "responses end at '<eos>' (2; config.json, tokenizer), '<|end|>' (4; chat template)"
    assert "all run to rollout.max_response_tokens" in describe_stop_tokens({}, word_tokenizer())


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 14), min_size=1, max_size=6), min_size=1, max_size=5))
def test_an_end_in_the_middle_is_counted_and_one_at_the_end_is_not(responses):
    known = markers([7], word_tokenizer(None))
    trajectories = [trajectory(f"q/r{i}", ids) for i, ids in enumerate(responses)]
    inside = sum(any(token in {0, 1, 2, 3, 4, 5, 7} for token in ids[:-1]) for ids in responses)
    assert ending_metrics([tree(*trajectories)], known)["grow/end_inside"] == pytest.approx(inside / len(responses))
