"""Sources: the rows they give, and one clear line for everything that can be wrong with them."""

import json
import logging

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ib_lpo.data.config import SourceConfig
from ib_lpo.data.sources import DataError, hub, read_rows
from ib_lpo.data.sources.row import final_answer


def jsonl(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def refusal(source: SourceConfig) -> str:
    with pytest.raises(DataError) as caught:
        read_rows(source)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_generator_rows_are_right_and_repeatable():
    source = SourceConfig(size=20, seed=3, options={"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 2})
    rows = read_rows(source)
    assert rows == read_rows(source) and len({row.id for row in rows}) == 20
    for row in rows:
        assert int(row.answer) == eval(row.question.partition(":")[2].rstrip("= "))


def test_generator_refusals():
    assert "size" in refusal(SourceConfig(name="chain_sum"))
    assert "no_such_thing" in refusal(SourceConfig(name="no_such_thing", size=1))
    assert "wings" in refusal(SourceConfig(size=1, options={"wings": 2}))
    assert "min_terms" in refusal(SourceConfig(size=1, options={"min_terms": 0}))


RECORDS = [
    {"problem": "What is 6 x 7?", "solution": "It is $\\boxed{42}$.", "uid": "a"},
    {"problem": "Half of 3?", "solution": "So \\boxed{\\frac{3}{2}} it is", "uid": "b"},
    {"problem": "3 + 4?", "solution": "3 + 4 = 7\n#### 7", "uid": "c"},
    {"problem": "Seven?", "solution": "007", "uid": "d"},
]
COLUMNS = {"question_column": "problem", "answer_column": "solution", "id_column": "uid"}
ANSWERS = ["42", "\\frac{3}{2}", "7", "007"]


@pytest.mark.parametrize("ending", [".jsonl", ".parquet", ".csv"])
def test_each_kind_of_file_gives_the_same_rows(tmp_path, ending):
    path = tmp_path / f"set{ending}"
    if ending == ".jsonl":
        jsonl(path, RECORDS)
    elif ending == ".parquet":
        pq.write_table(pa.Table.from_pylist(RECORDS), path)
    else:
        import csv

        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(RECORDS[0]))
            writer.writeheader()
            writer.writerows(RECORDS)
    rows = read_rows(SourceConfig(kind="file", path=path, **COLUMNS))
    assert [row.id for row in rows] == ["a", "b", "c", "d"]
    assert [row.question for row in rows] == [record["problem"] for record in RECORDS]
    assert [row.answer for row in rows] == ANSWERS
    assert read_rows(SourceConfig(kind="file", path=path, size=2, **COLUMNS)) == rows[:2]


def test_row_numbers_are_ids_and_lists_of_answers_are_joined(tmp_path):
    path = jsonl(tmp_path / "set.jsonl", [{"question": "q", "answer": ["1", "2"]}, {"question": "r", "answer": 3}])
    assert [(row.id, row.answer) for row in read_rows(SourceConfig(kind="file", path=path))] == [("set-0", "1, 2"), ("set-1", "3")]


def test_a_source_may_have_no_gold_answers(tmp_path):
    path = jsonl(tmp_path / "set.jsonl", [{"question": "q"}, {"question": "r", "answer": "7"}])
    assert [row.answer for row in read_rows(SourceConfig(kind="file", path=path, answer_column=None))] == ["", ""]


@pytest.mark.parametrize(
    ("records", "settings", "words"),
    [
        ([{"q": "x", "answer": "1"}], {}, ["question_column='question'", "q, answer"]),
        ([{"question": "x", "a": "1"}], {}, ["answer_column='answer'", "question, a"]),
        ([{"question": "x", "answer": " "}], {}, ["row 0", "'answer'"]),
        ([{"question": "x", "answer": "1"}, {"question": "y"}], {}, ["row 1", "'answer'"]),
        ([{"question": "", "answer": "1"}], {}, ["row 0", "'question'"]),
        ([{"question": "x", "answer": "\\boxed{ }"}], {}, ["row 0", "'answer'"]),
        ([{"question": "x", "answer": "1", "uid": 5}] * 2, {"id_column": "uid"}, ["row 1", "'5'", "row 0"]),
        ([{"question": "x", "answer": "1"}], {"size": 2}, ["size=2", "1 rows"]),
        ([], {}, ["set.jsonl: has no rows; point"]),
        ([{"question": ["x", "y"], "answer": "1"}], {}, ["row 0: question_column='question' is a list", "dotted path"]),
        ([{"question": "x", "answer": {"value": 1}}], {}, ["row 0: answer_column='answer' is no text but has value", "dotted path"]),
        ([{"question": "x", "answer": float("nan")}], {}, ["row 0 has an empty 'answer'"]),
        (
            [{"question": "x", "answer": "1"}, {"question": "half \ud800", "answer": "1"}],
            {},
            ["row 1: question_column=", "half a character"],
        ),
    ],
)
def test_file_refusals(tmp_path, records, settings, words):
    path = jsonl(tmp_path / "set.jsonl", records)
    message = refusal(SourceConfig(kind="file", path=path, **settings))
    assert [word for word in words if word not in message] == []


def test_unreadable_files(tmp_path):
    assert "path is absent" in refusal(SourceConfig(kind="file"))
    assert "no such file" in refusal(SourceConfig(kind="file", path=tmp_path / "gone.jsonl"))
    (tmp_path / "set.txt").write_text("x")
    assert ".jsonl, .parquet, .csv" in refusal(SourceConfig(kind="file", path=tmp_path / "set.txt"))
    (tmp_path / "set.parquet").write_text("not parquet")
    assert "cannot be read as .parquet" in refusal(SourceConfig(kind="file", path=tmp_path / "set.parquet"))
    (tmp_path / "set.jsonl").write_text('{"question": "a", "answer": "b"}\n{"question":\n')
    assert "set.jsonl:2" in refusal(SourceConfig(kind="file", path=tmp_path / "set.jsonl"))
    (tmp_path / "set.csv").write_text("question,answer\nWhat, then?,7\n")
    assert "set.csv:2: more cells than the header" in refusal(SourceConfig(kind="file", path=tmp_path / "set.csv"))


def test_files_of_other_encodings_and_shapes(tmp_path):
    source = SourceConfig(kind="file", path=tmp_path / "set.jsonl")
    source.path.write_bytes('{"question": "é", "answer": "1"}'.encode("latin-1"))
    assert "not UTF-8 (" in refusal(source) and "convert it" in refusal(source)
    source.path.write_text('{"question": ' + "[" * 100_000 + "]" * 100_000 + "}\n")
    assert "set.jsonl:1: nested too deeply" in refusal(source)
    source.path.write_text('{"question": 1' + "0" * 5000 + "}\n")
    assert "set.jsonl:1: not JSON" in refusal(source)
    long = SourceConfig(kind="file", path=tmp_path / "long.csv")
    long.path.write_text(f"question,answer\n{'x' * 200_000},1\n")
    assert [len(row.question) for row in read_rows(long)] == [200_000]


def test_line_separators_of_unicode_do_not_end_a_line_of_jsonl(tmp_path):
    (tmp_path / "set.jsonl").write_text(
        json.dumps({"question": "a\u2028b\x85c", "answer": "1"}, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    assert [row.question for row in read_rows(SourceConfig(kind="file", path=tmp_path / "set.jsonl"))] == ["a\u2028b\x85c"]


def test_one_file_serves_two_purposes(tmp_path):
    path = jsonl(tmp_path / "set.jsonl", [{"question": f"q{i}", "answer": str(i)} for i in range(5)])
    source = SourceConfig(kind="file", path=path)
    first, rest = (read_rows(source.model_copy(update=part)) for part in ({"size": 2}, {"skip": 2}))
    assert first + rest == read_rows(source) and len(first) == 2
    assert [row.answer for row in read_rows(source.model_copy(update={"skip": 1, "size": 2}))] == ["1", "2"]
    assert "has only 1 rows after skip=4" in refusal(source.model_copy(update={"skip": 4, "size": 2}))
    assert "has no rows after skip=5" in refusal(source.model_copy(update={"skip": 5}))
    generator = SourceConfig(size=6)
    assert read_rows(generator.model_copy(update={"skip": 2, "size": 4})) == read_rows(generator)[2:]


def test_a_generators_instructions_can_be_left_out():
    plain = read_rows(SourceConfig(size=3))
    named = read_rows(SourceConfig(size=3, question_pattern="^[^:]*: (.*)$"))
    assert [row.question for row in named] == [row.question.partition(": ")[2] for row in plain]


@pytest.fixture
def hub_layout(tmp_path):
    """A dataset folder as the hub stores one: a card that lists the configurations and a file per split."""
    (tmp_path / "gsm" / "main").mkdir(parents=True)
    jsonl(tmp_path / "gsm" / "main" / "train.jsonl", [{"question": f"{i} + 1?", "answer": f"well\n#### {i + 1}"} for i in range(5)])
    card = "---\nconfigs:\n- config_name: main\n  data_files:\n  - split: train\n    path: main/train.jsonl\n---\n"
    (tmp_path / "gsm" / "README.md").write_text(card)
    return str(tmp_path / "gsm")


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def test_hub_layout(hub_layout):
    rows = read_rows(SourceConfig(kind="hub", name=hub_layout, config="main", size=3))
    assert [(row.question, row.answer) for row in rows] == [("0 + 1?", "1"), ("1 + 1?", "2"), ("2 + 1?", "3")]


def test_solutions_come_from_their_column(tmp_path):
    path = jsonl(tmp_path / "set.jsonl", RECORDS)
    source = SourceConfig(kind="file", path=path, solution_column="solution", **COLUMNS)
    assert [row.solution for row in read_rows(source)] == [record["solution"] for record in RECORDS]
    assert [row.answer for row in read_rows(source)] == ANSWERS
    assert {row.solution for row in read_rows(source.model_copy(update={"solution_column": None}))} == {""}
    assert "solution_column='cot' is not a column; the columns are problem" in refusal(source.model_copy(update={"solution_column": "cot"}))
    jsonl(path, [*RECORDS, {"problem": "x", "solution": " ", "uid": "e"}])
    assert "row 4 has an empty 'solution'" in refusal(source.model_copy(update={"answer_column": None}))


def test_solutions_of_the_hub_and_of_a_generator(hub_layout):
    rows = read_rows(SourceConfig(kind="hub", name=hub_layout, config="main", size=2, solution_column="answer"))
    assert [row.solution for row in rows] == ["well\n#### 1", "well\n#### 2"]
    generated = read_rows(SourceConfig(name="gsm_symbolic", size=6, solution_column="answer_cot"))
    assert all(row.solution.endswith(f"#### {row.answer}") and "\n" in row.solution for row in generated)
    assert read_rows(SourceConfig(name="gsm_symbolic", size=6)) == [row._replace(solution="") for row in generated]
    message = refusal(SourceConfig(name="gsm_symbolic", size=1, solution_column="steps"))
    assert "solution_column='steps' is no text in its metadata" in message and "answer_cot" in message


def test_hub_refusals(hub_layout, tmp_path):
    assert "split=train+test: there is no such" in refusal(SourceConfig(kind="hub", name=hub_layout, config="main", split="train+test"))
    assert len(read_rows(SourceConfig(kind="hub", name=hub_layout, config="main", split="train[:2]+train[3:]"))) == 4
    assert "the splits are train" in refusal(SourceConfig(kind="hub", name=hub_layout, config="main", split="test"))
    assert "the configurations are main" in refusal(SourceConfig(kind="hub", name=hub_layout, config="extra"))
    assert "HF_HUB_OFFLINE" in refusal(SourceConfig(kind="hub", name="nobody/nothing"))
    assert "question, answer" in refusal(SourceConfig(kind="hub", name=hub_layout, config="main", answer_column="gold"))
    (tmp_path / "scripted").mkdir()
    (tmp_path / "scripted" / "scripted.py").write_text("")
    said = refusal(SourceConfig(kind="hub", name=str(tmp_path / "scripted" / "scripted.py")))
    assert "scripts are no longer supported" in said and "use kind=file" in said


def test_the_hubs_client_says_nothing_of_its_own(capfd):
    retries = logging.getLogger("huggingface_hub.utils._http")
    with hub._quiet():
        retries.error("Retrying in 8s")
    assert capfd.readouterr().err == "" and retries.isEnabledFor(logging.ERROR)


@pytest.mark.parametrize(
    ("solution", "answer"),
    [("a \\boxed{1} b \\boxed{\\frac{a}{b}} c", "\\frac{a}{b}"), ("48/2 = 24\n#### 1,024", "1,024"), ("  plain ", "plain"), ("-3", "-3")],
)
def test_final_answer(solution, answer):
    assert final_answer(solution) == answer
