"""Prompts as tokens: arguments of the chat template, and neither a second BOS nor an EOS at the end."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ib_lpo.data.config import DataConfig, SourceConfig
from ib_lpo.data.prompts import prompt_tokens
from ib_lpo.data.sources import DataError
from tests.policy.chat import CHAT, word_tokenizer

BOS, EOS = "<bos>", "<eos>"


def data(template: str = "{q}", **values) -> DataConfig:
    return DataConfig(train=SourceConfig(size=1), template=template, **values)


def text(question: str, config: DataConfig, tokenizer) -> str:
    (ids,) = prompt_tokens([question], config, tokenizer)
    return " ".join(tokenizer.convert_ids_to_tokens(ids))


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("eos", [False, True])
def test_a_tokenizer_that_ends_texts_ends_no_prompt(bos, eos):
    start = f"{BOS} " if bos else ""
    assert text("one two", data(chat=False), word_tokenizer(None, bos=bos, eos=eos)) == f"{start}one two"


def test_a_start_that_the_template_spells_is_not_doubled():
    assert text("one", data("<bos> {q}", chat=False), word_tokenizer(None, bos=True, eos=True)) == "<bos> one"
    assert text("one", data("<bos> {q}", chat=False), word_tokenizer(None)) == "<bos> one"
    doubled = word_tokenizer("<bos> " + CHAT)
    assert text("one", data(), doubled) == "<bos> <|turn|> user one <|end|> <|turn|> assistant"


def test_an_end_that_the_user_wrote_stays():
    """As between worked examples."""
    assert text("one", data("{q} <eos>", chat=False), word_tokenizer(None, bos=True, eos=True)) == "<bos> one <eos>"


@settings(deadline=None)
@given(st.lists(st.sampled_from(["one", "two", "?", BOS, EOS, "<|end|>"]), max_size=6), st.booleans(), st.booleans())
def test_only_what_the_tokenizer_adds_is_changed(words, bos, eos):
    question = " ".join(words)
    expected = [BOS] * bos + words
    while expected[:2] == [BOS, BOS]:
        expected = expected[1:]
    assert text(question, data(chat=False), word_tokenizer(None, bos=bos, eos=eos)) == " ".join(expected)


def test_an_empty_prompt_has_no_end_either():
    assert text("", data(chat=False), word_tokenizer(None, bos=True, eos=True)) == BOS
    assert text("", data(chat=False), word_tokenizer(None, eos=True)) == ""


def test_arguments_reach_the_chat_template():
    tokenizer = word_tokenizer(bos=True, eos=True)
    opened = "<bos> <|turn|> user one <|end|> <|turn|> assistant"
    assert text("one", data(), tokenizer) == opened
    assert text("one", data(chat_template_kwargs={"enable_thinking": True}), tokenizer) == opened
    assert text("one", data(chat_template_kwargs={"enable_thinking": False}), tokenizer) == f"{opened} no think"


@pytest.mark.parametrize(
    ("template", "says"),
    [(CHAT, "does not use it"), (None, "has no chat template")],
)
def test_an_argument_that_changes_nothing_is_refused(template, says):
    with pytest.raises(DataError, match=rf"data\.chat_template_kwargs\.enable_thinkng: .*{says}") as caught:
        text("one", data(chat_template_kwargs={"enable_thinkng": False}), word_tokenizer(template))
    assert "\n" not in str(caught.value)


def test_a_template_that_fails_is_one_line():
    with pytest.raises(DataError, match=r"chat template failed on a question \(no\)"):
        text("one", data(), word_tokenizer("{{ raise_exception('no') }}"))


@pytest.mark.parametrize("name", ["tokenize", "add_generation_prompt", "return_dict", "chat_template"])
def test_arguments_of_tokenisation_are_refused(name):
    with pytest.raises(ValidationError, match=f"{name} is no argument of a chat template"):
        data(chat_template_kwargs={name: True})
