"""The column maps of the manifests in configs/data against data sets in the layouts of the hub's, loaded by `datasets` itself."""

from pathlib import Path

import pytest

from ib_lpo.data.config import SourceConfig
from ib_lpo.data.sources import DataError, Row, read_rows
from ib_lpo.manifest import load
from tests.data.hub_layouts import DAPO_TEXTS, GSM8K, GSM8K_TEST, LAYOUTS, MATH, write_layout

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "data"


@pytest.fixture(autouse=True)
def offline_with_a_cache_of_its_own(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def sources() -> dict[str, SourceConfig]:
    """By what they are for, of all manifests."""
    prepared, raw = load(CONFIGS / "math-dapo.yaml"), load(CONFIGS / "math-dapo-raw.yaml")
    found = {**prepared.prepare.sources, "dapo raw": raw.prepare.sources["dapo"]}
    return found | {name: benchmark.source for name, benchmark in prepared.evaluation.benchmarks.items()}


EXPECTED = {
    "math": [(MATH[0]["problem"], "2", MATH[0]["solution"]), (MATH[1]["problem"], "\\frac{3}{2}", MATH[1]["solution"])],
    "dapo": [(text, answer, "") for text, answer in DAPO_TEXTS],
    "dapo raw": [(text, answer, "") for text, answer in DAPO_TEXTS * 3],
    "aime24": [("Find $m+n$.", "204", "")],
    "aime25": [("Find the sum of all bases.", "70", "")],
    "math-500": [("Convert $(0,3)$ to polar coordinates.", "\\left( 3, \\frac{\\pi}{2} \\right)", "")],
    "olympiad": [("Find $a$.", "$2$", ""), ("Find all $x$.", "$-1, 7$", "")],
    "gsm8k": [(GSM8K_TEST[0]["question"], "2,000", "")],
}
IDS = {"aime24": ["60"], "aime25": ["0"], "math-500": ["test/precalculus/807.json"], "olympiad": ["1606", "2231"]}


def read(tmp_path: Path, source: SourceConfig, **changes) -> list[Row]:
    folder = tmp_path / source.name
    folder = folder if folder.exists() else write_layout(tmp_path, source.name)
    return read_rows(source.model_copy(update={"name": str(folder), **changes}))


def test_the_manifests_name_all_the_data_sets():
    assert {source.name for source in sources().values()} == set(LAYOUTS)
    assert set(EXPECTED) == set(sources())


@pytest.mark.parametrize("name", EXPECTED)
def test_a_map_reads_its_layout(tmp_path, name):
    rows = read(tmp_path, sources()[name])
    assert [row[1:] for row in rows] == EXPECTED[name]
    assert len({row.id for row in rows}) == len(rows)
    assert name not in IDS or [row.id for row in rows] == IDS[name]


def test_the_other_splits_and_configurations(tmp_path):
    processed, gsm8k = sources()["dapo"], sources()["gsm8k"]
    assert [row.answer for row in read(tmp_path, processed, config="cn")] == ["7"]
    assert len(read(tmp_path, processed, config="all")) == 3
    train = read(tmp_path, gsm8k, split="train", solution_column="answer")
    assert [row[1:] for row in train] == [(GSM8K[0]["question"], "7", GSM8K[0]["answer"])]


def test_every_answer_can_be_judged_against(verifier):
    answers = [answer for rows in EXPECTED.values() for _, answer, _ in rows]
    assert verifier.check_gold(answers) == []
    assert verifier.grade([("so \\boxed{7, -1}", "$-1, 7$")])[0].reward == 1.0


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("math-500", {"split": "train"}, ["split=train: there is no such split; the splits are test"]),
        ("aime24", {"split": "test"}, ["split=test: there is no such split; the splits are train"]),
        ("gsm8k", {"split": "validation[:10]"}, ["no such split; the splits are train, test"]),
        ("gsm8k", {"config": None}, ["config=None", "the configurations are main, socratic"]),
        ("gsm8k", {"config": "plain"}, ["config=plain", "the configurations are main, socratic"]),
        ("dapo raw", {"question_column": "prompt.0.text"}, ["row 0: question_column='prompt.0.text' leads nowhere", "content, role"]),
        ("dapo raw", {"question_column": "prompt.1.content"}, ["leads nowhere: prompt has 1 items"]),
        ("dapo raw", {"question_column": "prompt.first.content"}, ["leads nowhere: prompt is a list"]),
        ("dapo raw", {"answer_column": "ability.gold"}, ["leads nowhere: ability is a str with nothing inside"]),
        ("dapo raw", {"answer_column": "gold.answer"}, ["answer_column='gold.answer' is not a column", "data_source, prompt"]),
        ("dapo raw", {"question_pattern": "^Prove (.*)"}, ["question_pattern='^Prove (.*)' is not in the question"]),
        ("dapo raw", {"question_pattern": "(.*"}, ["no regular expression"]),
        ("dapo raw", {"question_pattern": ".*"}, ["has no group"]),
        ("dapo raw", {"id_column": "extra_info.index"}, ["row 2 has the id 'uuid-0' of row 0"]),
    ],
)
def test_refusals(tmp_path, name, changes, words):
    with pytest.raises(DataError) as caught:
        read(tmp_path, sources()[name], **changes)
    message = str(caught.value)
    assert [word for word in words if word not in message] == [] and "\n" not in message


def test_a_damaged_file_of_a_data_set(tmp_path, capfd):
    source = sources()["gsm8k"]
    root = write_layout(tmp_path, source.name)
    (root / "main" / "test-00000-of-00001.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DataError, match=r"a file cannot be read \(.*\); download it anew") as caught:
        read_rows(source.model_copy(update={"name": str(root)}))
    assert "\n" not in str(caught.value) and capfd.readouterr().err == ""


def test_offline_and_not_in_the_cache(capfd):
    with pytest.raises(DataError) as caught:
        read_rows(sources()["gsm8k"])
    assert str(caught.value).startswith("hub dataset openai/gsm8k: not in the cache, and HF_HUB_OFFLINE=1 forbids to ask the hub")
    assert capfd.readouterr().err == ""


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="nowhere") as caught:
        read_rows(SourceConfig(kind="hub", name=str(tmp_path / "nowhere")))
    assert "\n" not in str(caught.value)
