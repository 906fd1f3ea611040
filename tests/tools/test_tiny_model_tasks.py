"""The tasks of the tiny model: right answers, worked solutions, figures, and the files of questions."""

import json
import random
from itertools import islice, product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_model.files import split, write_questions, write_solutions
from tiny_model.tasks import TASKS, sparse, two_ways
from tiny_model.tasks.base import Item

from ib_lpo.data.config import DataConfig, SourceConfig
from ib_lpo.errors import UserError
from ib_lpo.latent.fitting.pairs import steps_of
from ib_lpo.manifest import load
from ib_lpo.scoring.answer_text import find_answer

SEEDS = st.integers(0, 10**6).map(str)
SUMS = {"min_terms": 3, "max_terms": 4, "min_digits": 1, "max_digits": 1}


def data_of(task, folder=None):
    if task.files is None:
        return DataConfig(train=SourceConfig(name=task.source, size=8, options=SUMS))
    paths = {part: folder and folder / f"{part}.jsonl" for part in task.files}
    return DataConfig(**{part: SourceConfig(kind="file", name=task.source, path=path) for part, path in paths.items()})


def boxed(text):
    return find_answer(text).expression


def items(task, seed="0", count=200):
    return list(islice(task.items(data_of(task), seed), count))


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_items_repeat_by_seed(task):
    assert items(task) == items(task) != items(task, "1")


def test_sums_are_right():
    assert all(boxed(TASKS["chain_sum"].solution(item, random.Random(0))) == item.answer for item in items(TASKS["chain_sum"], count=50))


def by_hand(first, second, digits):
    """The answer of the task sparse, written out."""
    total = [int(d) + {"k": 1, "b": 2, "h": 3, "f": 4, "d": 1, "m": 2, "c": 3, "g": 4}[first] for d in digits]
    a, b, c, d = total
    order = {"t": (a, b, c, d), "p": (d, c, b, a), "x": (b, a, d, c), "r": (b, c, d, a)}
    order |= {"v": order["t"], "s": order["p"], "n": order["x"], "z": order["r"]}
    return "".join(map(str, order[second]))


@given(SEEDS)
def test_sparse_has_one_right_pair_of_choices_in_sixteen(seed):
    (item,) = items(sparse.TASK, seed, 1)
    first, second, digits = item.question.split(" ")
    assert item.answer == by_hand(first, second, digits)
    found = {pair: sparse.carried_out(item.question, *pair) for pair in product(range(1, 5), sparse.ORDERS)}
    assert len({boxed(text) for text in found.values()}) == 16
    right = [text for text in found.values() if boxed(text) == item.answer]
    assert len(right) == 1
    for text in found.values():
        figures = sparse.figures(item, text)
        assert figures["sound"] == 1.0 and (figures["first"] and figures["second"]) == (text in right)
    assert sparse.figures(item, right[0].replace("Go", "No"))["sound"] == 0.0


def test_sparse_solutions_are_right_one_time_in_sixteen_and_wrong_by_habit_one_time_in_four():
    """For every pair of letters; each of the sixteen pairs of choices is made."""
    for first, second in product(sparse.ADDENDS, sparse.MOVES):
        rng = random.Random(0)
        item = Item(f"{first} {second} 1234", by_hand(first, second, "1234"), "")
        texts = [sparse.worked(item, rng) for _ in range(1600)]
        counts = sorted(texts.count(text) for text in set(texts))
        right = sum(boxed(text) == item.answer for text in texts)
        assert len(counts) == 16 and 60 < right < 140  # 100 +- 9.7
        assert 330 < counts[-1] < 470 and counts[-2] < 270  # 400 +- 17 and 200 +- 13


def test_a_slip_is_not_sound():
    (item,) = items(sparse.TASK, count=1)
    text = sparse.carried_out(item.question, 2, "Turn")
    assert sparse.figures(item, text[:-2] + str(9 - int(text[-2])) + "}")["sound"] == 0.0


@given(SEEDS)
def test_the_short_way_is_right_exactly_where_nothing_is_carried(seed):
    (item,) = items(two_ways.TASK, seed, 1)
    a, b = two_ways.terms(item)
    assert int(item.answer) == a + b < 100
    easy = a % 10 + b % 10 < 10
    assert (boxed(two_ways.short(a, b)) == item.answer) == easy
    assert boxed(two_ways.long(a, b)) == item.answer
    assert len(two_ways.short(a, b)) < len(two_ways.long(a, b)) / 2


def test_half_of_the_questions_are_hard_and_few_solutions_long():
    found = items(two_ways.TASK, count=2000)
    assert 0.45 < sum(two_ways.carries(*two_ways.terms(item)) for item in found) / 2000 < 0.55
    rng = random.Random(0)
    long = sum(two_ways.worked(item, rng).startswith("How? Slow") for item in found) / 2000
    assert two_ways.LONG_SHARE - 0.03 < long < two_ways.LONG_SHARE + 0.03


def test_every_long_step_is_true():
    for item in items(two_ways.TASK):
        steps = two_ways.long(*two_ways.terms(item)).removeprefix("How? Slow: ").split(". ")[:2]
        assert all(eval(step.split(" = ")[0]) == int(step.split(" = ")[1]) for step in steps)


@pytest.mark.parametrize("task", [task for task in TASKS.values() if task.files], ids=lambda task: task.name)
def test_files_hold_different_questions_with_their_answers(task, tmp_path):
    data = data_of(task, tmp_path / "new")
    paths = write_questions(task, data)
    parts = [[json.loads(line) for line in path.read_text().splitlines()] for path in paths]
    assert [len(part) for part in parts] == [task.files["train"], task.files["held_out"]] and len(parts[0]) >= 512
    questions = [row["question"] for part in parts for row in part]
    assert len(set(questions)) == len(questions)
    answers = {item.question: item.answer for part in split(task, data).values() for item in part}
    assert all(answers[row["question"]] == row["answer"] for part in parts for row in part)
    before = [path.stat().st_mtime_ns for path in paths]
    paths[0].write_text("cut off")
    assert write_questions(task, data) == paths and paths[1].stat().st_mtime_ns == before[1]
    assert len(paths[0].read_text().splitlines()) == task.files["train"]


def test_files_need_a_path():
    with pytest.raises(UserError, match=r"data\.train\.path"):
        write_questions(sparse.TASK, data_of(sparse.TASK))


def test_questions_of_a_generator_need_no_file():
    assert write_questions(TASKS["chain_sum"], data_of(TASKS["chain_sum"])) == []


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_the_manifest_of_a_task_asks_for_it(task, request):
    manifest = load(request.config.rootpath / "configs" / "tasks" / f"{task.name}.yaml")
    assert manifest.data.train.name == task.source and manifest.rollout.max_response_tokens >= task.responses
    assert (manifest.cluster.mode, manifest.rollout.engines, manifest.learner.ranks) == ("local", 1, 1)


@pytest.mark.parametrize("task", [task for task in TASKS.values() if task.shown], ids=lambda task: task.name)
def test_solutions_for_the_latent_are_of_training_questions(task, tmp_path, request):
    manifest = load(
        request.config.rootpath / "configs" / "tasks" / f"{task.name}.yaml",
        [f"data.train.path={tmp_path}/a.jsonl", f"data.held_out.path={tmp_path}/b.jsonl", f"latent_fit.data.path={tmp_path}/c.jsonl"],
    )
    path = write_solutions(task, manifest)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    asked = {item.question: item for item in split(task, manifest.data)["train"]}
    assert len(rows) == 1024 and all(asked[row["question"]].answer == row["answer"] for row in rows)
    assert all(len(steps_of(row["solution"])) >= 1 for row in rows), "there is a boundary before a choice"
    assert len({(row["question"], row["solution"]) for row in rows}) > len(asked), "one question is answered in more than one way"


def test_no_solutions_where_the_manifest_asks_for_none():
    assert write_solutions(TASKS["chain_sum"], load("configs/tasks/sums.yaml")) is None
