"""Everything that can be wrong with the data of `ib-lpo data prepare`: one line each, exit code 2, before any model is looked for."""

import json
import os
import subprocess
import sys

import pytest
import yaml
from typer.testing import CliRunner

from ib_lpo.cli import app
from tests.data.hub_layouts import write_layout

GOOD = {"question": "What is one and one?", "answer": "2"}
VALUES = {"name": "p", "steps": 1, "model": {"path": "no-model-here"}}


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    import datasets

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    (tmp_path / "good.jsonl").write_text(json.dumps(GOOD) + "\n")
    write_layout(tmp_path / "hub", "openai/gsm8k")
    write_layout(tmp_path / "damaged", "math-ai/aime25")
    (tmp_path / "damaged/math-ai/aime25/default/test-00000-of-00001.parquet").write_bytes(b"PAR1 no more")
    return tmp_path


def refusal(capfd, **sections) -> str:
    """What the command prints on stderr for sources or other sections."""
    with open("manifest.yaml", "w") as file:
        yaml.safe_dump(VALUES | sections, file)
    result = CliRunner().invoke(app, ["data", "prepare", "manifest.yaml"])
    assert result.exit_code == 2, result.output
    assert result.stdout == "" and capfd.readouterr().err == ""
    return result.stderr


def source(**settings) -> dict:
    return {"prepare": {"sources": {"s": {"kind": "file", "path": "bad.jsonl"} | settings}}}


BAD_FILES = {
    "bad.parquet": (b"PAR1 and no more", {"path": "bad.parquet"}, "bad.parquet: cannot be read as .parquet"),
    "missing column": ([{"q": "x", "answer": "1"}], {}, "question_column='question' is not a column; the columns are q, answer"),
    "empty answer": ([GOOD, {"question": "y", "answer": ""}], {}, "row 1 has an empty 'answer'"),
    "duplicate id": ([GOOD | {"id": 1}, GOOD | {"id": 1}], {"id_column": "id"}, "row 1 has the id '1' of row 0"),
    "too few": ([GOOD], {"size": 2}, "size=2, but it has only 1 rows"),
    "no rows": ([GOOD], {"skip": 1}, "has no rows after skip=1"),
    "not JSON": (b'{"question": ', {}, "bad.jsonl:1: not JSON"),
    "no text": (b"\xff\xfe\x00", {}, "bad.jsonl: not UTF-8"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(workplace, capfd, name):
    content, settings, words = BAD_FILES[name]
    data = content if isinstance(content, bytes) else "".join(json.dumps(row) + "\n" for row in content).encode()
    (workplace / settings.get("path", "bad.jsonl")).write_bytes(data)
    said = refusal(capfd, **source(**settings))
    assert said.startswith("prepare.sources.s: ") and words in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "nobody/nothing"}, "hub dataset nobody/nothing: not in the cache, and HF_HUB_OFFLINE=1 forbids"),
        ({"name": "hub/openai/gsm8k", "config": "main", "split": "dev"}, "split=dev: there is no such split; the splits are train, test"),
        ({"name": "hub/openai/gsm8k", "config": "mian"}, "the configurations are main, socratic"),
        ({"name": "hub/openai/gsm8k", "config": "main", "answer_column": "gold"}, "hub/openai/gsm8k: answer_column='gold' is not a column"),
        ({"name": "damaged/math-ai/aime25", "split": "test"}, "a file cannot be read"),
    ],
)
def test_bad_hub_data_sets(capfd, settings, words):
    said = refusal(capfd, **source(kind="hub", **settings))
    assert said.startswith("prepare.sources.s: ") and words in said and said.count("\n") == 1


def test_what_is_not_a_file_or_not_a_source(capfd):
    assert "no such file" in refusal(capfd, **source(path="gone.jsonl"))
    assert "prepare.sources: names no source" in refusal(capfd)
    assert "no such generator" in refusal(capfd, **source(kind="reasoning_gym", name="nothing", size=1))


def test_all_problems_are_told_at_once_benchmarks_included(capfd):
    sections = source(path="gone.jsonl")
    sections["prepare"]["sources"]["good"] = {"kind": "file", "path": "good.jsonl"}
    sections["evaluation"] = {
        "benchmarks": {"b": {"source": {"kind": "hub", "name": "hub/openai/gsm8k", "config": "main", "split": "dev"}}}
    }
    sections["data"] = {"held_out": {"kind": "file", "path": "absent.jsonl"}}
    lines = refusal(capfd, **sections).splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["prepare.sources.s", "evaluation.benchmarks.b", "data.held_out"]


def test_a_good_source_gets_as_far_as_the_model(capfd):
    good = {"sources": {"s": {"kind": "file", "path": "good.jsonl"}}, "verifiable": False, "language": None}
    said = refusal(capfd, prepare=good)
    assert said.startswith("model.path='no-model-here': its tokenizer") and "prepare.lengths=null" in said and said.count("\n") == 1


def test_outputs_that_cannot_be(workplace, capfd):
    good = {"kind": "file", "path": "good.parquet"}
    assert "would be overwritten" in refusal(capfd, prepare={"sources": {"s": good}, "out": "./good.parquet"})
    assert "must end in .parquet" in refusal(capfd, prepare={"out": "good.jsonl"})
    assert "cannot be written" in refusal(capfd, prepare={"sources": {"s": good}, "out": "good.jsonl/x/y.parquet"})


def test_nothing_left_says_which_stage_took_it(workplace, capfd):
    good = {"kind": "file", "path": "good.jsonl"}
    switches = {"lengths": None, "language": None, "verifiable": False}
    said = refusal(capfd, prepare={"sources": {"s": good}} | switches, data={"held_out": good})
    assert "no question is left: contamination dropped 1;" in said and said.count("\n") == 1
    assert not (workplace / "runs/p-data/questions.parquet").exists()


@pytest.mark.slow
def test_the_command_itself_offline(workplace):
    """A process of its own, with HF_HUB_OFFLINE as a user sets it."""
    sections = source(kind="hub", name="openai/gsm8k", config="main")
    sections["prepare"]["sources"]["t"] = {"kind": "hub", "name": "damaged/math-ai/aime25", "split": "test"}
    (workplace / "manifest.yaml").write_text(yaml.safe_dump(VALUES | sections))
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(workplace / "home")}
    command = [sys.executable, "-m", "ib_lpo", "data", "prepare", "manifest.yaml"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 2 and "not in the cache, and HF_HUB_OFFLINE=1" in lines[0] and "a file cannot be read" in lines[1]
