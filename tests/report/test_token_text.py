"""Pieces of text: their join is the decoded response, whatever the bytes."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ib_lpo.report.token_text import TokenTexts
from tests.report.made_run import save_model


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model"))


def test_a_character_of_several_tokens_stands_with_its_last(tokenizer):
    ids = tokenizer.encode("é🙂the")
    assert TokenTexts(tokenizer).pieces(ids) == ["", "é", "", "", "", "🙂", "the"]


def test_special_tokens_are_visible(tokenizer):
    texts = TokenTexts(tokenizer)
    assert texts.pieces([*tokenizer.encode("ok"), 1])[-1] == "<|end|>" and 1 in texts.special_ids


def test_a_piece_does_not_depend_on_what_follows(tokenizer):
    texts, ids = TokenTexts(tokenizer), tokenizer.encode("so 中文 it")
    whole = texts.pieces(ids)
    complete = [end for end in range(1, len(ids)) if "\ufffd" not in tokenizer.decode(ids[:end])]
    assert all(texts.pieces(ids[:end]) == whole[:end] for end in complete) and len(complete) > 4


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=st.lists(st.integers(0, 260), max_size=30))
def test_the_join_is_the_decoded_response(tokenizer, ids):
    pieces = TokenTexts(tokenizer).pieces(ids)
    assert len(pieces) == len(ids)
    assert "".join(pieces) == tokenizer.decode(ids, clean_up_tokenization_spaces=False)
