"""Tokenised questions against straight-line tokenisation."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ib_lpo.data.config import DataConfig, SourceConfig
from ib_lpo.data.questions import load_questions, load_sets
from ib_lpo.data.sources import DataError

CHAT = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
SUMS = SourceConfig(size=12, options={"min_terms": 2, "max_terms": 2, "min_digits": 2, "max_digits": 2})


@pytest.fixture
def tokenizer():
    """One token per byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({character: i for i, character in enumerate(alphabet)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core)


def test_plain_prompts(tokenizer):
    data = DataConfig(train=SUMS, template="Q: {q} {{now}}")
    questions = load_questions(SUMS, data, tokenizer, max_prompt_tokens=200)
    assert len(questions) == 12
    for question in questions:
        assert tokenizer.decode(question.prompt_ids) == f"Q: {question.text} {{now}}"
        assert tokenizer.decode(question.answer_ids) == f"\\boxed{{{question.answer}}}"
        assert tokenizer.decode(question.empty_prompt_ids) == "Q:  {now}"
        assert tokenizer.decode(question.lead_ids) == "\n"
        assert tokenizer.decode(question.informed_prompt_ids) == f"Q: {question.text}\n(The final answer is {question.answer}.) {{now}}"


def test_without_a_gold_answer_there_is_nothing_to_score_or_to_show(tokenizer, tmp_path):
    (tmp_path / "set.jsonl").write_text('{"question": "why?"}\n')
    source = SourceConfig(kind="file", path=tmp_path / "set.jsonl", answer_column=None)
    (question,) = load_questions(source, DataConfig(train=source), tokenizer, max_prompt_tokens=200)
    assert (question.answer, question.answer_ids, question.informed_prompt_ids) == ("", (), ())


def test_chat_prompts(tokenizer):
    tokenizer.chat_template = CHAT
    data = DataConfig(train=SUMS, template="{q}!")
    first = load_questions(SUMS, data, tokenizer, max_prompt_tokens=200)[0]
    assert tokenizer.decode(first.prompt_ids) == f"<user>{first.text}!<assistant>"
    assert tokenizer.decode(first.empty_prompt_ids) == "<user>!<assistant>"
    plain = load_questions(SUMS, data.model_copy(update={"chat": False}), tokenizer, max_prompt_tokens=200)[0]
    assert tokenizer.decode(plain.prompt_ids) == f"{first.text}!"


def test_a_long_prompt_is_an_error_and_the_limit_itself_fits(tokenizer):
    data = DataConfig(train=SUMS, template="{q}")
    longest = max(load_questions(SUMS, data, tokenizer, max_prompt_tokens=999), key=lambda q: len(q.prompt_ids))
    length = len(longest.prompt_ids)
    assert load_questions(SUMS, data, tokenizer, max_prompt_tokens=length)
    with pytest.raises(DataError) as caught:
        load_questions(SUMS, data, tokenizer, max_prompt_tokens=length - 1)
    for word in ("chain_sum-s0-", f"{length} tokens", f"rollout.max_prompt_tokens={length - 1}", f"raise it to {length}"):
        assert word in str(caught.value)


@pytest.mark.parametrize("template", ["{q} \\boxed{}", "{q} {x}", "{q} {"])
def test_a_malformed_template_is_one_line(tokenizer, template):
    with pytest.raises(DataError, match="double other braces") as caught:
        load_questions(SUMS, DataConfig(train=SUMS, template=template), tokenizer, max_prompt_tokens=200)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("hint", ["{a} {", "{b}", "{}"])
def test_a_malformed_hint_is_one_line(tokenizer, hint):
    with pytest.raises(DataError, match=r"data\.answer_hint=.* double other braces"):
        load_questions(SUMS, DataConfig(train=SUMS, answer_hint=hint), tokenizer, max_prompt_tokens=200)


def test_held_out_questions_are_not_trained_on(tokenizer):
    """Neighbouring generator seeds share items, which must be left out of training and counted."""
    held_out = SUMS.model_copy(update={"seed": 4})
    sets = load_sets(DataConfig(train=SUMS, held_out=held_out, questions_per_step=2), tokenizer, max_prompt_tokens=200)
    assert not {q.text for q in sets.train} & {q.text for q in sets.held_out}
    assert len(sets.held_out) == 12 and sets.overlap == 12 - len(sets.train) > 0


def test_a_held_out_question_is_known_by_its_normalised_text(tokenizer, tmp_path):
    for name, texts in {"train": ["What is $1 + 1$?", "Other"], "held": ["what is \\\\(1+1\\\\)"]}.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(f'{{"question": "{text}", "answer": "2"}}\n' for text in texts))
    train, held_out = (SourceConfig(kind="file", path=tmp_path / f"{name}.jsonl") for name in ("train", "held"))
    sets = load_sets(DataConfig(train=train, held_out=held_out, questions_per_step=1), tokenizer, max_prompt_tokens=200)
    assert [question.text for question in sets.train] == ["Other"] and sets.overlap == 1


def test_too_few_questions_for_a_step(tokenizer):
    held_out = SUMS.model_copy(update={"seed": 4})
    with pytest.raises(DataError, match="questions_per_step=8;"):
        load_sets(DataConfig(train=SUMS, held_out=held_out, questions_per_step=8), tokenizer, max_prompt_tokens=200)


def test_the_batches_of_a_step_must_not_share_a_question(tokenizer):
    load_sets(DataConfig(train=SUMS, questions_per_step=4, batches_per_step=3), tokenizer, max_prompt_tokens=200)
    with pytest.raises(DataError, match=r"questions_per_step=4 x data\.batches_per_step=4;"):
        load_sets(DataConfig(train=SUMS, questions_per_step=4, batches_per_step=4), tokenizer, max_prompt_tokens=200)
