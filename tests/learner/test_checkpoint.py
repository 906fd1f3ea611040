"""A checkpoint is complete or invisible."""

import pytest

from ib_lpo.learner.checkpoint import newest_complete, write_checkpoint


def fill(path):
    (path / "weights").write_text("w")


def test_round_trip(tmp_path):
    root = tmp_path / "checkpoints"
    assert newest_complete(root) is None
    path = write_checkpoint(root, 12, fill, {"step": 12}, keep=2)
    assert path.name == "step-000012"
    assert newest_complete(root) == (path, {"step": 12})
    assert (path / "weights").read_text() == "w"


def test_only_the_newest_stay(tmp_path):
    for step in (1, 2, 30, 4):
        write_checkpoint(tmp_path, step, fill, {}, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000004", "step-000030"]


def test_a_failure_while_saving_leaves_the_previous_one(tmp_path):
    kept = write_checkpoint(tmp_path, 1, fill, {"step": 1}, keep=1)

    def broken(path):
        fill(path)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_checkpoint(tmp_path, 2, broken, {"step": 2}, keep=1)
    assert newest_complete(tmp_path) == (kept, {"step": 1})
    again = write_checkpoint(tmp_path, 2, fill, {"step": 2}, keep=1)
    assert newest_complete(tmp_path) == (again, {"step": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["step-000002"]


def test_a_directory_without_its_marker_does_not_count(tmp_path):
    first = write_checkpoint(tmp_path, 1, fill, {"step": 1}, keep=5)
    second = write_checkpoint(tmp_path, 2, fill, {"step": 2}, keep=5)
    (second / "complete").unlink()
    assert newest_complete(tmp_path) == (first, {"step": 1})


def test_the_same_step_again_replaces_it(tmp_path):
    write_checkpoint(tmp_path, 3, fill, {"run": 1}, keep=2)
    path = write_checkpoint(tmp_path, 3, fill, {"run": 2}, keep=2)
    assert newest_complete(tmp_path) == (path, {"run": 2})


def test_steps_are_ordered_by_number(tmp_path):
    write_checkpoint(tmp_path, 999_999, fill, {}, keep=5)
    newest = write_checkpoint(tmp_path, 1_000_000, fill, {}, keep=5)
    assert newest_complete(tmp_path)[0] == newest
