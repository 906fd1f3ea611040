"""`ib-lpo data prepare` as a whole: sources through every stage into a file that training reads."""

import hashlib
import json
import shutil
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from ib_lpo.cli import app
from ib_lpo.data.config import SourceConfig
from ib_lpo.data.preparation import pass_rates
from ib_lpo.data.preparation.candidates import Candidate
from ib_lpo.data.preparation.pass_rates import RECORD
from ib_lpo.data.preparation.stage import Context
from ib_lpo.data.preparation.tallies import Record, Tally
from ib_lpo.data.questions import load_questions
from ib_lpo.data.sources import read_rows
from ib_lpo.errors import UserError
from ib_lpo.manifest import load
from ib_lpo.policy.load import load_tokenizer
from tests.system.tiny_policy import save_policy, save_tokenizer

LONG = "Every one of these thirteen or more words stands in both of the questions that are compared here"
ROLLOUT = {"max_prompt_tokens": 400, "max_response_tokens": 60, "max_running": 32, "kv_cache_gb": 0.05, "temperature": 1.0}
ROWS = [
    {"uid": "a", "text": "What is the sum of three and four?", "gold": "#### 7"},
    {"uid": "b", "text": "What is the sum of  three and four", "gold": "7.0"},
    {"uid": "c", "text": "How many legs do two spiders have?", "gold": "16"},
    {"uid": "d", "text": "How many legs do two spiders have?", "gold": "12"},
    {"uid": "e", "text": "Was ist die Summe von drei und vier, und warum ist das so?", "gold": "7"},
    {"uid": "f", "text": "Give the unfinished fraction.", "gold": "\\frac{"},
    {"uid": "g", "text": f"{LONG}?", "gold": "1"},
    {"uid": "h", "text": f"So: {LONG} now.", "gold": "1"},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("policy") / "model"
    save_policy(path)
    return path


def fill(folder: Path) -> Path:
    """The questions and a tokenizer in `folder`."""
    save_tokenizer(folder / "tokenizer")
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (folder / "test.jsonl").write_text(json.dumps({"question": f"Remember that {LONG.lower()}...", "answer": "2"}) + "\n")
    return folder


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A directory with the questions, in which the command runs."""
    monkeypatch.chdir(tmp_path)
    return fill(tmp_path)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A directory in which the command ran, and what it printed; tests only read it."""
    folder = fill(tmp_path_factory.mktemp("prepared"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "200")
        return folder, prepare(manifest(folder))


def manifest(folder: Path, **changes) -> Path:
    """A manifest; `changes` are top-level sections that replace those here."""
    train = {"kind": "file", "path": "train.jsonl", "question_column": "text", "answer_column": "gold", "id_column": "uid"}
    sums = {"kind": "reasoning_gym", "name": "chain_sum", "size": 3, "question_pattern": ": (.*)"}
    values = {
        "name": "p",
        "steps": 1,
        "model": {"path": "tokenizer"},
        "prepare": {"sources": {"train": train, "sums": sums}},
        "data": {"template": "Q: {q}=?", "train": {"kind": "file", "path": "runs/p-data/questions.parquet", "id_column": "id"}},
        "evaluation": {"benchmarks": {"bench": {"source": {"kind": "file", "path": "test.jsonl"}}}},
        "rollout": ROLLOUT,
        "learner": {"ranks": 1},
        "cluster": {"mode": "local"},
    }
    path = folder / "manifest.yaml"
    path.write_text(yaml.safe_dump(values | changes, sort_keys=False))
    return path


def prepare(path: Path, *overrides: str) -> str:
    result = CliRunner().invoke(app, ["data", "prepare", str(path), *overrides])
    assert result.exit_code == 0, result.output
    return result.stdout


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_stage_counts_and_the_card_says_so(prepared):
    workplace, out = prepared
    folder = workplace / "runs" / "p-data"
    rows = pq.read_table(folder / "questions.parquet").to_pylist()
    assert [row["id"] for row in rows] == ["train/a", "sums/0", "sums/1", "sums/2"]
    assert rows[0] == {"id": "train/a", "question": ROWS[0]["text"], "answer": "7", "solution": "", "source": "train", "pass_rate": None}
    card = json.loads((folder / "card.json").read_text())
    assert [(stage["name"], stage["left_by_source"]["train"], sum(stage["dropped"].values())) for stage in card["stages"]] == [
        ("read", 8, 0),
        ("verifiable answer", 7, 1),
        ("duplicates", 4, 3),
        ("language", 3, 1),
        ("lengths", 3, 0),
        ("contamination", 1, 2),
        ("difficulty", 1, 0),
    ]
    assert card["output"] == {"file": "questions.parquet", "sha256": sha256(folder / "questions.parquet")}
    inputs = card["inputs"]
    assert inputs["prepare.sources.train"]["sha256_of_file"] == sha256(workplace / "train.jsonl")
    assert inputs["evaluation.benchmarks.bench"]["rows"] == 1
    assert card["details"]["contamination"]["benchmarks"]["bench"]["training_questions"] == 2
    text = (folder / "card.md").read_text()
    for words in ("same question, contradictory answers", "overlap with bench", "in de", "sha256", "math-verify", "`train/g` and `test-0`"):
        assert words in text
    assert "contamination" in out and "4 questions written to runs/p-data/questions.parquet" in out


def test_the_same_input_gives_the_same_bytes(prepared, workplace):
    prepare(manifest(workplace))
    first, again = ({file.name: sha256(file) for file in (folder / "runs" / "p-data").iterdir()} for folder in (prepared[0], workplace))
    assert first == again and len(first) == 3


def test_training_reads_what_is_written(prepared, monkeypatch):
    workplace, _ = prepared
    monkeypatch.chdir(workplace)
    read = load(workplace / "manifest.yaml")
    questions = load_questions(read.data.train, read.data, load_tokenizer(read.model), max_prompt_tokens=400)
    rows = pq.read_table(workplace / "runs" / "p-data" / "questions.parquet").to_pylist()
    assert [(q.id, q.text, q.answer) for q in questions] == [(row["id"], row["question"], row["answer"]) for row in rows]


def test_the_output_can_be_named_and_solutions_are_kept(workplace):
    sources = {"sums": {"name": "gsm_symbolic", "size": 2, "solution_column": "answer_cot"}}
    path = manifest(workplace, prepare={"sources": sources, "out": "made/set.parquet", "lengths": None, "verifiable": False})
    prepare(path)
    kept = SourceConfig(kind="file", path=Path("made/set.parquet"), id_column="id", solution_column="solution")
    assert [row[1:] for row in read_rows(kept)] == [row[1:] for row in read_rows(SourceConfig(**sources["sums"]))]
    assert (workplace / "made" / "card.md").exists()


def test_pass_rate_is_over_verifiable_samples():
    def rate(**counts: int) -> float | None:
        return Tally(**({"correct": 0, "wrong": 0, "unverifiable": 0, "truncated": 0, "tokens": 0} | counts)).pass_rate

    assert (rate(correct=1, wrong=3), rate(correct=2, unverifiable=6), rate(wrong=4), rate(unverifiable=4)) == (0.25, 1.0, 0.0, None)


def test_a_record_survives_a_kill_but_not_nonsense(tmp_path):
    tally = Tally(correct=1, wrong=2, unverifiable=0, truncated=0, tokens=9)
    path = tmp_path / RECORD
    with Record(path) as record:
        record.add("k1", "a", tally)
        record.add("k2", "b", tally)
    path.write_text(path.read_text()[:-5])
    with Record(path) as record:
        assert record.tallies == {"k1": tally}
        record.add("k3", "c", tally)
    with Record(path) as record:
        assert list(record.tallies) == ["k1", "k3"]
    path.write_text('{"key": "k1"}\n')
    with pytest.raises(UserError, match=r"pass_rates\.jsonl: damaged .*; remove it"):
        Record(path)


@pytest.fixture
def one_start(monkeypatch):
    """The engines of the first call serve the later ones."""
    started = []
    with ExitStack() as stack:

        @contextmanager
        def serving(manifest, *, engines, start=pass_rates.serving):
            if not started:
                started.append(stack.enter_context(start(manifest, engines=engines)))
            yield started[0]

        monkeypatch.setattr(pass_rates, "serving", serving)
        yield


@pytest.mark.slow
def test_pass_rates_are_measured_once(workplace, model, one_start, monkeypatch):
    """The tiny policy boxes a digit from 0 to 3 at random: answers from there are solved now and then, others never."""
    questions = [{"question": f"{i}+{i}", "answer": str(i % 4 if i < 6 else 7)} for i in range(9)]
    (workplace / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions))
    section = {
        "sources": {"q": {"kind": "file", "path": "train.jsonl"}},
        "verifiable": False,
        "language": None,
        "lengths": None,
        "difficulty": {"samples": 8},
    }
    path = manifest(workplace, prepare=section, model={"path": str(model)}, evaluation={}, rollout=ROLLOUT | {"max_prompt_tokens": 32})
    folder = workplace / "runs" / "p-data"
    prepare(path)
    record = folder / RECORD
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert sorted(line["id"] for line in lines) == [f"q/{i}" for i in range(9)]
    tallies = {line["id"]: Tally(**line["tally"]) for line in lines}
    assert all(t.correct + t.wrong + t.unverifiable == 8 and t.tokens > 0 for t in tallies.values())
    rows = pq.read_table(folder / "questions.parquet").to_pylist()
    assert {row["id"]: row["pass_rate"] for row in rows} == {k: t.pass_rate for k, t in tallies.items() if 0 < t.pass_rate < 1}
    assert len(rows) >= 4 and not {row["id"] for row in rows} & {"q/6", "q/7", "q/8"}
    mean = sum(tallies[f"q/{i}"].pass_rate for i in range(6)) / 6
    assert 0.1 < mean < 0.45  # a quarter, of 48 samples

    written = sha256(folder / "questions.parquet")
    asked = []
    monkeypatch.setattr(pass_rates, "_request", lambda *of, make=pass_rates._request: asked.append(of[1].candidate.id) or make(*of))
    prepare(path)
    assert asked == [] and sha256(folder / "questions.parquet") == written

    kept = record.read_text().splitlines()
    record.write_text("\n".join(kept[:6]) + "\n" + kept[6][:40])  # killed while it wrote the seventh
    prepare(path)
    assert set(asked) == {json.loads(line)["id"] for line in kept[6:]}
    assert len(record.read_text().splitlines()) == 9


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        "prepare.difficulty.temperature=0.5",
        "prepare.difficulty.samples=3",
        "prepare.difficulty.max_response_tokens=9",
        "learner.dtype=bfloat16",
        "verifier.deadline_s=1",
        "verifier.memory_mb=99",
        "data.template=Q {q}",
        "seed=1",
    ],
)
def test_what_pass_rates_depend_on_is_in_their_key(model, tmp_path, change):
    assert not keys(model, tmp_path, change) & keys(model, tmp_path)
    assert keys(model, tmp_path, "learner.lr=0.5", "prepare.difficulty.low=-1") == keys(model, tmp_path)


@pytest.mark.slow
def test_other_weights_under_the_same_embeddings_have_other_pass_rates(model, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(model, other)
    assert keys(other, tmp_path) == keys(model, tmp_path)
    weights = load_file(model / "model.safetensors")
    weights["model.norm.weight"] *= 1.5
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    assert not keys(other, tmp_path) & keys(model, tmp_path)


def keys(model: Path, folder: Path, *overrides: str) -> set[str]:
    """Keys of the pass rates of two questions."""
    read = load(manifest(folder, model={"path": str(model)}), overrides)
    context = Context(manifest=read, verifier=None, benchmarks={}, folder=folder)
    candidates = [Candidate(id=f"q/{q}", source="q", question=q, answer="1", solution="") for q in ("1+1", "2+2")]
    return {item.key for item in pass_rates._items(candidates, context)}
