import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from ib_lpo.scoring.answer_span import answer_start
from ib_lpo.scoring.answer_text import answer_offset

CORPUS = [r"The answer is $\boxed{12}$ . \[ \frac{1}{2} \] so #### 5 and x = 3", "naïve 日本語 🙂 answers \\boxed"] * 20


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """Byte-level BPE, as Qwen's: characters beyond ASCII span several tokens."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False))
    return made


def decoder(tokenizer):
    return lambda ids: tokenizer.decode(list(ids), skip_special_tokens=False)


def linear_reference(ids, decode):
    """The first token whose inclusion makes the text reach past the marker's first character, by trying every prefix."""
    text = decode(ids)
    offset = answer_offset(text)
    if offset is None:
        return None
    return next(n for n in range(len(ids)) if decode(ids[: n + 1])[: offset + 1] == text[: offset + 1])


def test_cuts_exactly_before_the_marker(tokenizer):
    ids = tokenizer.encode("The answer is 12 so ").ids
    answer = tokenizer.encode(r"\boxed{12} .").ids
    assert answer_start(ids + answer, decoder(tokenizer)) == len(ids)


def test_no_answer_no_cut(tokenizer):
    assert answer_start(tokenizer.encode("The answer is 12").ids, decoder(tokenizer)) is None
    assert answer_start([], decoder(tokenizer)) is None


def test_a_token_that_spans_the_marker_belongs_to_the_answer():
    pieces = ["so", " $\\", "boxed", "{7}"]
    assert answer_start([0, 1, 2, 3], lambda ids: "".join(pieces[i] for i in ids)) == 1


def test_what_remains_says_nothing_of_the_answer(tokenizer):
    ids = tokenizer.encode("naïve 🙂 日本語 \\boxed{12} and \\boxed").ids
    decode = decoder(tokenizer)
    assert "boxed" not in decode(ids[: answer_start(ids, decode)])
    assert "12" not in decode(ids[: answer_start(ids, decode)])


MARKED = st.lists(
    st.sampled_from(["é", "日本", "🙂🙂", "\\boxed{1}", "\\boxed{", "}", "#### 5\n", " the", "\\", "#", "\n", "\ufffd"]), max_size=12
)


@given(parts=MARKED)
def test_bisection_agrees_with_trying_every_prefix(tokenizer, parts):
    ids = tokenizer.encode("".join(parts)).ids
    assert answer_start(ids, decoder(tokenizer)) == linear_reference(ids, decoder(tokenizer))


@given(ids=st.lists(st.integers(0, 329), max_size=30), cut=st.integers(0, 30))
def test_agrees_on_ids_that_no_encoder_would_make(tokenizer, ids, cut):
    """Sampled ids need not be valid UTF-8 nor the canonical tokens of their text."""
    ids = [i % tokenizer.get_vocab_size() for i in ids]
    ids[min(cut, len(ids)) : 0] = tokenizer.encode("\\boxed{3}").ids
    assert answer_start(ids, decoder(tokenizer)) == linear_reference(ids, decoder(tokenizer))
