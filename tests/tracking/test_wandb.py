"""What wandb, the real one and offline, is left with."""

import os
from pathlib import Path

import pytest
import wandb

from ib_lpo.manifest import validate
from ib_lpo.tracking import read_metrics
from ib_lpo.tracking.rollouts import shortened
from ib_lpo.tracking.tracker import Tracker
from tests.tracking.test_rollouts import EVERY, decode, rollouts, tree
from tests.tracking.wandb_file import OfflineRun

KEY, SECRET = "0123456789abcdef0123456789abcdef01234567", "very-secret-value"


def manifest():
    tracking = {"wandb": "offline", "project": "p", "notes": "a first try"}
    return validate({"name": "t", "steps": 5, "model": {"path": "nowhere"}, "tracking": tracking})


def rows(step):
    long = {"text": "x" * 100_000, "reward": 1.0, "failures": "", "s_ib": None}
    found = rollouts([tree(0, 3), tree(1, 2)], step, EVERY, seed=0, decode=decode)
    return [found[0] | long, *found[1:]]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """A run that was resumed after step 1, with secrets around."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_API_KEY", KEY)
        patch.setenv("SOME_TOKEN", SECRET)
        patch.setenv("HOME", str(folder / "home"))
        patch.delenv("WANDB_DATA_DIR", raising=False)
        with Tracker(folder, manifest()) as tracker:
            tracker.log(0, {"held_out/accuracy": 0.25})
            tracker.log(1, {"held_out/accuracy": 0.75, "grow/forks": 2}, rows(1))
            tracker.log(2, {"grow/forks": 9}, rows(2))
        first = OfflineRun(folder)
        with Tracker(folder, manifest(), resume_from=1) as tracker:
            tracker.log(2, {"held_out/accuracy": 0.5, "grow/forks": 3}, rows(2))
    return folder, first, OfflineRun(folder)


def test_nothing_failed_and_the_files_hold_each_step_once(run_dir):
    folder, _, _ = run_dir
    lines = read_metrics(folder / "metrics.jsonl")
    assert [line["step"] for line in lines] == [0, 1, 2] and lines[2]["grow/forks"] == 3
    assert not any("tracking/wandb_failures" in line for line in lines)
    assert read_metrics(folder / "rollouts.jsonl") == [*rows(1), *rows(2)]


def test_metrics_and_their_best_values_are_in_the_run(run_dir):
    _, first, second = run_dir
    logged = [(line["_step"], line.get("held_out/accuracy"), line.get("grow/forks")) for line in first.history]
    assert logged == [(0, 0.25, None), (1, 0.75, 2), (2, None, 9)]
    assert [(line["_step"], line["grow/forks"]) for line in second.history] == [(2, 3)]
    assert first.best == second.best == {"held_out/accuracy": "max"}


def test_the_table_holds_the_rows(run_dir):
    _, first, second = run_dir
    for run, step in ((first, 1), (first, 2), (second, 2)):
        assert run.table(step) == [row | {"text": shortened(row["text"])} for row in rows(step)]


def test_a_resumed_run_is_the_same_one_with_manifest_and_notes(run_dir):
    folder, first, second = run_dir
    identity = (folder / "wandb_id").read_text()
    assert first.folder != second.folder
    for run in (first.run, second.run):
        assert (run.run_id, run.project, run.display_name, run.notes) == (identity, "p", "t", "a first try")
        assert {item.key for item in run.config.update} >= manifest().model_dump().keys()


def test_no_secret_is_in_any_file_and_no_file_outside(run_dir):
    folder, _, _ = run_dir
    content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"nowhere" in content and b"x" * 1000 in content  # the manifest and the responses are there
    assert KEY[:16].encode() not in content and SECRET.encode() not in content
    assert any((folder / "wandb" / "data").rglob("*"))  # what the upload of tables needs
    assert not any((folder / "home").rglob("*.table.json")) and not list((folder / "home").glob(".local/share/wandb/artifacts/staging/*"))


def test_a_data_folder_of_the_users_own_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "mine"))
    with Tracker(tmp_path / "run", manifest()) as tracker:
        tracker.log(1, {"grow/forks": 2}, rows(1))
    assert os.environ["WANDB_DATA_DIR"] == str(tmp_path / "mine")
    assert any(Path(tmp_path / "mine").rglob("tmp*")) and not (tmp_path / "run/wandb/data").exists()


def test_a_table_that_cannot_be_written_is_counted(tmp_path, monkeypatch):
    """The folder of its files is a file: wandb itself fails."""
    monkeypatch.delenv("WANDB_DATA_DIR", raising=False)
    with Tracker(tmp_path, manifest()) as tracker:
        (tmp_path / "wandb" / "data").write_text("")
        tracker.log(1, {"grow/forks": 2}, rows(1))
    assert read_metrics(tracker.path) == [{"step": 1, "grow/forks": 2, "tracking/wandb_failures": 1}]
    assert read_metrics(tmp_path / "rollouts.jsonl") == rows(1)
    assert [line["grow/forks"] for line in OfflineRun(tmp_path).history] == [2]
    assert wandb.run is None
