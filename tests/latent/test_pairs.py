"""(condition, target) pairs: split where a step begins, nothing lost, the same for the same step number, held out for good."""

import json
from itertools import pairwise

import numpy as np
import pytest

from ib_lpo.data.sources import DataError
from ib_lpo.latent.fitting.pairs import PairStream, steps_of
from ib_lpo.manifest import validate
from tests.latent.toy import save_tokenizer

CHAT = "{% for m in messages %}{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}={% endif %}"
GSM = "he has 3+4=7 eggs\nshe eats 2 so 7+2=9\n\nthat is it\n.... 9"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def stream(tmp_path, tokenizer):
    """A stream over solutions, and its manifest."""

    def make(solutions, *, source=None, prompts=None, rollout=None, seed=0, **fit):
        path = tmp_path / "solutions.jsonl"
        rows = [{"question": f"q{i}?", "answer": "1"} | (s if isinstance(s, dict) else {"worked": s}) for i, s in enumerate(solutions)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        train = {"kind": "file", "path": str(path), "solution_column": "worked"} | (source or {})
        fit = {"solutions_per_step": 1, "held_out": 2, "min_target_tokens": 1, **fit}
        return PairStream(
            validate(
                {
                    "name": "t",
                    "steps": 1,
                    "seed": seed,
                    "model": {"path": "unused"},
                    "data": {"train": train, "template": "{q}+", **(prompts or {})},
                    "rollout": rollout or {},
                    "latent_fit": fit,
                }
            ),
            tokenizer,
        )

    return make


def flat(solutions):
    return [pair for pairs in solutions for pair in pairs]


def test_steps_of_lines_and_of_sentences():
    def split(text):
        places = [0, *steps_of(text), len(text)]
        return [text[low:high] for low, high in pairwise(places)]

    assert split(GSM) == ["he has 3+4=7 eggs\n", "she eats 2 so 7+2=9\n\n", "that is it\n", ".... 9"]
    assert split("a\n  b\n \n\nc. d") == ["a\n", "  b\n \n\n", "c. d"]
    assert split("a\r\nb\r\n\r\nc") == ["a\r\n", "b\r\n\r\n", "c"]
    assert split("one is 3.5 wide. two! so?  yes") == ["one is 3.5 wide.", " two!", " so?", "  yes"]
    assert split("one step") == ["one step"]


@pytest.mark.parametrize(
    ("solution", "targets"),
    [
        (GSM, ["she eats 2 so 7+2=9\n\nthat is it\n.... 9", "that is it\n.... 9", ".... 9"]),
        ("\n " + GSM + " \n", ["she eats 2 so 7+2=9\n\nthat is it\n.... 9", "that is it\n.... 9", ".... 9"]),
        ("a is 1. but b is 2. c is", [" but b is 2. c is", " c is"]),  # " b" is one token and belongs to its sentence whole
        ("a.\nb", ["b"]),
    ],
)
def test_condition_and_target_are_the_tokens_of_prompt_and_solution(stream, tokenizer, solution, targets):
    found = flat(stream([solution] * 4, pairs_per_solution=9).step(1))
    assert [tokenizer.decode(pair.target) for pair in found] == targets
    for pair in found:
        whole = tokenizer.decode(pair.ids)
        assert whole.startswith("q") and whole.partition("?+")[2] == solution.strip()
        np.testing.assert_array_equal(np.concatenate([pair.condition, pair.target]), pair.ids)
        prompt, solved = (
            tokenizer(text, add_special_tokens=False)["input_ids"] for text in (whole[: -len(solution.strip())], solution.strip())
        )
        assert pair.ids.tolist() == prompt + solved and pair.ids.dtype == np.int32 and not pair.cut
        assert pair.id == f"{pair.id.partition('@')[0]}@{pair.start - len(prompt)}"


def test_a_token_across_a_boundary_stays_in_the_condition(stream, tokenizer):
    """ ".c" is one token: a step cannot begin inside of it."""
    (pair,) = flat(stream(["a is .\n.c\nb"] * 3, pairs_per_solution=1, min_target_tokens=2).step(1))
    assert tokenizer.decode(pair.target) == ".c\nb"
    broken = "it is.  b. but"  # tokens: "." " " " b" "." " b" "u" "t"
    found = flat(stream([broken] * 3, pairs_per_solution=9).step(1))
    assert [tokenizer.decode(pair.target) for pair in found] == ["  b. but", " but"]


def test_the_solution_follows_the_opening_of_the_answer(stream, tokenizer):
    tokenizer.chat_template = CHAT
    try:
        (pair,) = flat(stream(["one\ntwo"] * 3).step(1))
        assert tokenizer.decode(pair.ids).endswith("?+=one\ntwo")
        (plain,) = flat(stream(["one\ntwo"] * 3, prompts={"chat": False}).step(1))
        assert tokenizer.decode(plain.ids).endswith("?+one\ntwo")
    finally:
        tokenizer.chat_template = None


def many(count=12, steps=6):
    return ["\n".join("abcdef"[s] * (i % 5 + 2) for s in range(steps)) for i in range(count)]


def same(a, b):
    return [(p.id, p.start, p.cut, p.ids.tolist()) for p in flat(a)] == [(p.id, p.start, p.cut, p.ids.tolist()) for p in flat(b)]


def test_a_step_is_a_function_of_its_number(stream):
    settings = {"solutions_per_step": 3, "pairs_per_solution": 2}
    walked, asked = stream(many(), **settings), stream(many(), **settings)
    forward = {number: walked.step(number) for number in range(1, 9)}
    for number in (7, 2, 2, 8, 1):
        assert same(asked.step(number), forward[number])
    assert not same(forward[1], forward[2])
    assert not same(stream(many(), seed=1, **settings).step(1), forward[1])
    assert same(asked.held_out(), walked.held_out())
    assert [len(pairs) for pairs in forward[1]] == [2, 2, 2]
    assert all(a.start < b.start and a.id.partition("@")[0] == b.id.partition("@")[0] for a, b in forward[1])


def test_epochs_split_the_same_solution_elsewhere(stream):
    found = stream(many(4), solutions_per_step=2, pairs_per_solution=1)
    ids = {pair.id for number in range(1, 40) for pair in flat(found.step(number))}
    assert len(ids) == 2 * 5  # two solutions, each at each of its five boundaries


def test_what_is_held_out_is_never_trained_on(stream):
    found = stream(many(), held_out=5, solutions_per_step=7)
    held = {pair.id.partition("@")[0] for pair in flat(found.held_out())}
    trained = {pair.id.partition("@")[0] for number in range(1, 5) for pair in flat(found.step(number))}
    assert len(held) == 5 and len(trained) == 7 and not held & trained
    assert held != {f"solutions-{i}" for i in range(5)}  # drawn from all of the file
    assert {len(pairs) for pairs in found.held_out()} == {1}


def test_other_solutions_of_a_held_out_question_are_left_out(stream):
    rows = [{"question": f"q{i % 4}?", "worked": f"a{i}\nb"} for i in range(12)]
    found = stream(rows, held_out=2)
    held = {i % 4 for i in (int(pair.id.partition("@")[0].removeprefix("solutions-")) for pair in flat(found.held_out()))}
    trained = {int(pair.id.partition("@")[0].removeprefix("solutions-")) % 4 for n in range(1, 30) for pair in flat(found.step(n))}
    assert not held & trained and trained and found.repeated == 3 * len(held) - 2


def test_solutions_without_a_boundary_are_counted(stream):
    found = stream(["one line", "a\nb", "c\nd", "e\nf", "g\nh.", "too\nnear"], min_target_tokens=1, held_out=2)
    assert found.unsplit == 1
    assert stream(["one line", "a\nlong enough", "c\nlong enough", "e\nlong enough", "to\nno"], min_target_tokens=8).unsplit == 2


def test_a_long_target_is_cut_and_says_so(stream, tokenizer):
    (pair,) = flat(stream(["a\nbcdefghij"] * 3, max_target_tokens=4).step(1))
    assert tokenizer.decode(pair.target) == "bcde" and pair.cut
    (whole,) = flat(stream(["a\nbcde"] * 3, max_target_tokens=4).step(1))
    assert tokenizer.decode(whole.target) == "bcde" and not whole.cut


def test_nothing_is_split_beyond_the_longest_response(stream, tokenizer):
    found = flat(stream(["aaa\nbbb\nccc\nddd"] * 3, pairs_per_solution=9, rollout={"max_response_tokens": 8}).step(1))
    assert [tokenizer.decode(pair.target) for pair in found] == ["bbb\nccc\nddd", "ccc\nddd"]


def refusal(stream, *arguments, **settings):
    with pytest.raises(DataError) as caught:
        stream(*arguments, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_refusals(stream):
    assert refusal(stream, many(), source={"solution_column": None}).startswith("data.train.solution_column: absent; name the column")
    assert "solution_column='steps' is not a column; the columns are question, answer, worked" in refusal(
        stream, many(), source={"solution_column": "steps"}
    )
    assert refusal(stream, many(), held_out=12).startswith("data.train: of 12 solutions 12 have a step boundary")
    assert "latent_fit.held_out=99" in refusal(stream, many(), held_out=99)
    assert "0 have a step boundary" in refusal(stream, ["x"] * 9)
    assert "latent_fit.solutions_per_step=8; give more, or lower one" in refusal(stream, many(), solutions_per_step=8, held_out=5)
    assert "rollout.max_prompt_tokens=2" in refusal(stream, many(), rollout={"max_prompt_tokens": 2})


def test_solutions_of_another_source_than_the_questions(stream, tokenizer, tmp_path):
    (tmp_path / "own.jsonl").write_text("".join(json.dumps({"question": f"{i}?", "steps": "a\nb"}) + "\n" for i in range(5)))
    own = {"kind": "file", "path": str(tmp_path / "own.jsonl"), "answer_column": None}
    (pair,) = flat(stream(many(), data=own | {"solution_column": "steps"}).step(1))
    assert tokenizer.decode(pair.ids).endswith("?+a\nb")
    assert refusal(stream, many(), data=own).startswith("latent_fit.data.solution_column: absent")
