"""The metrics file: one line per step through kills and resumes, whatever wandb does."""

import json
import math

import numpy as np
import pytest
import wandb

from ib_lpo.manifest import load, validate
from ib_lpo.tracking import Tracker, read_metrics


def manifest(mode="disabled"):
    return validate({"name": "t", "steps": 5, "model": {"path": "nowhere"}, "tracking": {"wandb": mode}})


def test_lines_are_on_disk_before_close(tmp_path):
    tracker = Tracker(tmp_path / "run", manifest())
    tracker.log(0, {"a": 1.5, "n": np.int64(3), "f": np.float32(0.25)})
    assert read_metrics(tracker.path) == [{"step": 0, "a": 1.5, "n": 3, "f": 0.25}]
    tracker.close()
    tracker.close()


def test_the_resolved_manifest_is_written(tmp_path):
    with Tracker(tmp_path, manifest()):
        pass
    assert load(tmp_path / "manifest.yaml") == manifest()


def test_resume_drops_what_came_after_the_checkpoint(tmp_path):
    with Tracker(tmp_path, manifest()) as tracker:
        for step in range(4):
            tracker.log(step, {"a": step})
    with tracker.path.open("a") as file:
        file.write('{"step": 4, "a"')
    with Tracker(tmp_path, manifest(), resume_from=1) as tracker:
        tracker.log(2, {"a": 20})
    assert read_metrics(tracker.path) == [{"step": 0, "a": 0}, {"step": 1, "a": 1}, {"step": 2, "a": 20}]


def test_a_torn_line_does_not_swallow_the_next(tmp_path):
    with Tracker(tmp_path, manifest()) as tracker:
        tracker.log(0, {"a": 0})
    with tracker.path.open("a") as file:
        file.write('{"step": 1, "a"')
    with Tracker(tmp_path, manifest(), resume_from=9) as tracker:
        tracker.log(1, {"a": 1})
    assert [line["step"] for line in read_metrics(tracker.path)] == [0, 1]


def test_without_resume_the_file_starts_anew(tmp_path):
    for _ in range(2):
        with Tracker(tmp_path, manifest()) as tracker:
            tracker.log(0, {"a": 0})
    assert len(read_metrics(tracker.path)) == 1


def test_numbers_that_are_not_finite_are_counted(tmp_path):
    with Tracker(tmp_path, manifest()) as tracker:
        tracker.log(0, {"a": math.nan, "b": math.inf, "c": 1.0})
    (line,) = [json.loads(text, parse_constant=pytest.fail) for text in tracker.path.read_text().splitlines()]
    assert line == {"step": 0, "a": None, "b": None, "c": 1.0, "tracking/non_finite": 2}


def test_a_failing_wandb_is_counted_and_stops_nothing(tmp_path, monkeypatch, caplog):
    def refuse(**_):
        raise wandb.errors.CommError("no route")

    monkeypatch.setattr(wandb, "init", refuse)
    with Tracker(tmp_path, manifest("offline")) as tracker:
        tracker.log(0, {"a": 1.0})
    assert read_metrics(tracker.path) == [{"step": 0, "a": 1.0, "tracking/wandb_failures": 1}]
    assert "no route" in caplog.text


def test_a_wandb_that_fails_midway_is_counted(tmp_path, monkeypatch):
    class Run:
        def log(self, metrics, step):
            if step == 1:
                raise BrokenPipeError("gone")

        def finish(self):
            raise wandb.errors.Error("gone")

    monkeypatch.setattr(wandb, "init", lambda **_: Run())
    with Tracker(tmp_path, manifest("online")) as tracker:
        for step in range(3):
            tracker.log(step, {"a": 1.0})
    assert [line.get("tracking/wandb_failures") for line in read_metrics(tracker.path)] == [None, 1, 1]


def test_a_programming_error_is_not_swallowed(tmp_path, monkeypatch):
    monkeypatch.setattr(wandb, "init", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Tracker(tmp_path, manifest("offline"))


@pytest.mark.slow
def test_wandb_offline_keeps_one_run_and_no_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef0123456789abcdef01234567")
    monkeypatch.setenv("SOME_TOKEN", "very-secret-value")
    with Tracker(tmp_path, manifest("offline")) as tracker:
        tracker.log(0, {"a": 1.0})
    with Tracker(tmp_path, manifest("offline"), resume_from=0) as tracker:
        tracker.log(1, {"a": 2.0})
    assert read_metrics(tracker.path) == [{"step": 0, "a": 1.0}, {"step": 1, "a": 2.0}]
    runs = [path for path in (tmp_path / "wandb").iterdir() if path.name.startswith("offline-run-")]
    identity = (tmp_path / "wandb_id").read_text()
    assert runs and [path.name for path in runs if f"-{identity}" not in path.name] == []
    content = b"".join(path.read_bytes() for path in (tmp_path / "wandb").rglob("*") if path.is_file())
    assert b"nowhere" in content  # the manifest is there
    assert b"0123456789abcdef" not in content and b"very-secret-value" not in content
