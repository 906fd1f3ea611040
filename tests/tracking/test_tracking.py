"""The record: every step once in metrics.jsonl and rollouts.jsonl through kills and resumes, whatever wandb does."""

import json
import math

import numpy as np
import pytest
import wandb

from ib_lpo.manifest import load, validate
from ib_lpo.tracking import read_metrics
from ib_lpo.tracking.tracker import Tracker

ROWS = [{"step": 0, "trajectory": "q/r0", "reward": 1.0, "text": "a\u2028b"}, {"step": 0, "trajectory": "q/r1", "reward": None, "text": ""}]


def manifest(mode="disabled"):
    return validate({"name": "t", "steps": 5, "model": {"path": "nowhere"}, "tracking": {"wandb": mode}})


def at(step):
    return [row | {"step": step} for row in ROWS]


def test_lines_are_on_disk_before_close(tmp_path):
    tracker = Tracker(tmp_path / "run", manifest())
    tracker.log(0, {"grade/reward": 1.5, "grow/forks": np.int64(3), "grow/entropy": np.float32(0.25)})
    assert read_metrics(tracker.path) == [{"step": 0, "grade/reward": 1.5, "grow/forks": 3, "grow/entropy": 0.25}]
    tracker.close()
    tracker.close()


def test_the_resolved_manifest_is_written(tmp_path):
    with Tracker(tmp_path, manifest()):
        pass
    assert load(tmp_path / "manifest.yaml") == manifest()


def test_resume_drops_what_came_after_the_checkpoint(tmp_path):
    with Tracker(tmp_path, manifest()) as tracker:
        for step in range(4):
            tracker.log(step, {"grade/reward": step})
    with tracker.path.open("a") as file:
        file.write('{"step": 4, "grade/reward"')
    with Tracker(tmp_path, manifest(), resume_from=1) as tracker:
        tracker.log(2, {"grade/reward": 20})
    assert read_metrics(tracker.path) == [{"step": 0, "grade/reward": 0}, {"step": 1, "grade/reward": 1}, {"step": 2, "grade/reward": 20}]


def test_a_torn_line_does_not_swallow_the_next(tmp_path):
    with Tracker(tmp_path, manifest()) as tracker:
        tracker.log(0, {"grade/reward": 0})
    with tracker.path.open("a") as file:
        file.write('{"step": 1, "grade/reward"')
    with Tracker(tmp_path, manifest(), resume_from=9) as tracker:
        tracker.log(1, {"grade/reward": 1})
    assert [line["step"] for line in read_metrics(tracker.path)] == [0, 1]


def test_without_resume_the_file_starts_anew(tmp_path):
    for _ in range(2):
        with Tracker(tmp_path, manifest()) as tracker:
            tracker.log(0, {"grade/reward": 0})
    assert len(read_metrics(tracker.path)) == 1


def test_numbers_that_are_not_finite_are_counted(tmp_path):
    with Tracker(tmp_path, manifest()) as tracker:
        tracker.log(0, {"grade/reward": math.nan, "grow/depth": math.inf, "grow/tokens": 1.0})
    (line,) = [json.loads(text, parse_constant=pytest.fail) for text in tracker.path.read_text().splitlines()]
    assert line == {"step": 0, "grade/reward": None, "grow/depth": None, "grow/tokens": 1.0, "tracking/non_finite": 2}


def test_a_failing_wandb_is_counted_and_stops_nothing(tmp_path, monkeypatch, caplog):
    def refuse(**_):
        raise wandb.errors.CommError("no route")

    monkeypatch.setattr(wandb, "init", refuse)
    with Tracker(tmp_path, manifest("offline")) as tracker:
        tracker.log(0, {"grade/reward": 1.0})
    assert read_metrics(tracker.path) == [{"step": 0, "grade/reward": 1.0, "tracking/wandb_failures": 1}]
    assert "no route" in caplog.text


def test_a_wandb_that_fails_midway_is_counted(tmp_path, monkeypatch):
    class Run:
        def define_metric(self, name, summary): ...

        def log(self, metrics, step):
            if step == 1:
                raise BrokenPipeError("gone")

        def finish(self):
            raise wandb.errors.Error("gone")

    monkeypatch.setattr(wandb, "init", lambda **_: Run())
    with Tracker(tmp_path, manifest("online")) as tracker:
        for step in range(3):
            tracker.log(step, {"grade/reward": 1.0})
    assert [line.get("tracking/wandb_failures") for line in read_metrics(tracker.path)] == [None, 1, 1]


def test_a_programming_error_is_not_swallowed(tmp_path, monkeypatch):
    monkeypatch.setattr(wandb, "init", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Tracker(tmp_path, manifest("offline"))


def test_a_metric_without_a_name_is_written_and_counted(tmp_path):
    with Tracker(tmp_path, manifest()) as tracker:
        tracker.log(0, {"grow/forks": 2, "grow/spoons": 3, "spoons": 4})
        tracker.log(1, {"grow/forks": 2})
    assert read_metrics(tracker.path) == [
        {"step": 0, "grow/forks": 2, "grow/spoons": 3, "spoons": 4, "tracking/unnamed": 2},
        {"step": 1, "grow/forks": 2},
    ]


def test_rollouts_stand_in_their_file_once_through_a_resume(tmp_path):
    with Tracker(tmp_path, manifest()) as tracker:
        for step in range(4):
            tracker.log(step, {}, at(step))
    with (tmp_path / "rollouts.jsonl").open("a") as file:
        file.write('{"step": 4, "trajectory"')
    with Tracker(tmp_path, manifest(), resume_from=1) as tracker:
        tracker.log(2, {}, at(2))
    assert read_metrics(tmp_path / "rollouts.jsonl") == [*at(0), *at(1), *at(2)]
    with Tracker(tmp_path, manifest()):
        pass
    assert read_metrics(tmp_path / "rollouts.jsonl") == []


def test_without_rollouts_there_is_no_file_of_them(tmp_path):
    with Tracker(tmp_path, manifest()) as tracker:
        tracker.log(0, {"grow/forks": 2})
    assert {path.name for path in tmp_path.iterdir()} == {"manifest.yaml", "metrics.jsonl"}


def test_rollouts_that_are_not_finite_are_counted(tmp_path):
    with Tracker(tmp_path, manifest()) as tracker:
        tracker.log(0, {}, [ROWS[0] | {"s_ib": math.nan, "rank": None}])
    assert read_metrics(tmp_path / "rollouts.jsonl") == [ROWS[0] | {"s_ib": None, "rank": None}]
    assert read_metrics(tracker.path) == [{"step": 0, "tracking/non_finite": 1}]


def test_a_wandb_that_takes_no_table_gets_the_metrics_and_the_files_are_complete(tmp_path, monkeypatch):
    seen = []

    class Run:
        def define_metric(self, name, summary): ...

        def log(self, metrics, step):
            if "rollouts" in metrics:
                raise OSError("disk full")
            seen.append((step, metrics))

        def finish(self): ...

    monkeypatch.setattr(wandb, "init", lambda **_: Run())
    with Tracker(tmp_path, manifest("online")) as tracker:
        for step in range(2):
            tracker.log(step, {"grade/reward": 1.0}, at(step))
    assert seen == [(0, {"grade/reward": 1.0}), (1, {"grade/reward": 1.0})]
    assert [line["tracking/wandb_failures"] for line in read_metrics(tracker.path)] == [1, 2]
    assert read_metrics(tmp_path / "rollouts.jsonl") == [*at(0), *at(1)]
