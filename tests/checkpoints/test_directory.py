"""A checkpoint is complete or invisible."""

import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from ib_lpo.checkpoints import directory, durable
from ib_lpo.checkpoints.directory import CheckpointError, complete, find, newest_complete, prune, set_later_aside, write_checkpoint


def fill(path):
    (path / "weights").write_text("w")


def test_round_trip(tmp_path):
    root = tmp_path / "checkpoints"
    assert newest_complete(root) is None
    path = write_checkpoint(root, 12, fill, {"step": 12}, keep=2)
    assert path.name == "step-000012"
    assert newest_complete(root) == (path, {"step": 12}) and newest_complete(root).step == 12
    assert (path / "weights").read_text() == "w"


def test_only_the_newest_stay(tmp_path):
    for step in (1, 2, 30, 4):
        write_checkpoint(tmp_path, step, fill, {}, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000004", "step-000030"]


def test_what_is_spared_stays(tmp_path):
    paths = [write_checkpoint(tmp_path, step, fill, {}, keep=9) for step in (1, 2, 3, 4)]
    prune(tmp_path, 1, {paths[1]})
    assert sorted(tmp_path.iterdir()) == [paths[1], paths[3]]


def test_a_failure_while_saving_leaves_the_previous_one(tmp_path):
    kept = write_checkpoint(tmp_path, 1, fill, {"step": 1}, keep=1)

    def broken(path):
        fill(path)
        raise OSError("disk full")

    with pytest.raises(CheckpointError, match=r"step-000002: cannot be written \(disk full\); make room there"):
        write_checkpoint(tmp_path, 2, broken, {"step": 2}, keep=1)
    assert newest_complete(tmp_path) == (kept, {"step": 1})
    again = write_checkpoint(tmp_path, 3, fill, {"step": 3}, keep=1)
    assert newest_complete(tmp_path) == (again, {"step": 3})
    assert [p.name for p in tmp_path.iterdir()] == ["step-000003"]


def test_a_directory_without_its_marker_does_not_count(tmp_path):
    first = write_checkpoint(tmp_path, 1, fill, {"step": 1}, keep=5)
    second = write_checkpoint(tmp_path, 2, fill, {"step": 2}, keep=5)
    (second / "complete").unlink()
    assert newest_complete(tmp_path) == (first, {"step": 1})
    assert write_checkpoint(tmp_path, 2, fill, {"step": 2, "anew": 1}, keep=5) == second
    assert newest_complete(tmp_path) == (second, {"step": 2, "anew": 1})


def test_a_step_that_was_killed_before_its_marker_is_cleared(tmp_path):
    (write_checkpoint(tmp_path, 1, fill, {}, keep=5) / "complete").unlink()
    (tmp_path / ".step-000001.deleted" / "left").mkdir(parents=True)
    (tmp_path / "step-000009.1").mkdir()
    write_checkpoint(tmp_path, 2, fill, {}, keep=5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000002", "step-000009.1"], "what was set aside stays"


def test_names_are_on_the_disk_before_what_counts_on_them(tmp_path, monkeypatch):
    """The parents of a new directory; and that a checkpoint has lost its name, before its files go."""
    done = []
    for owner, name in ((durable, "sync"), (directory, "sync"), (shutil, "rmtree")):
        original = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda path, original=original, name=name, **kw: done.append((name, path)) or original(path, **kw))
    root = tmp_path / "runs" / "r" / "checkpoints"
    first = write_checkpoint(root, 1, fill, {}, keep=1)
    assert {("sync", path) for path in (tmp_path, tmp_path / "runs", tmp_path / "runs" / "r")} <= set(done)
    write_checkpoint(root, 2, fill, {}, keep=1)
    gone = len(done) - 1 - done[::-1].index(("rmtree", root / f".{first.name}.deleted"))
    assert done[gone - 1] == ("sync", root)


def test_a_full_disk_under_safetensors_is_one_line(tmp_path):
    """safetensors raises an error of its own, which is no OSError. In a process of its own, which may write 1 MB per file."""
    script = (
        "import resource, signal, sys, numpy\nfrom pathlib import Path\nfrom safetensors.numpy import save_file\n"
        "from ib_lpo.checkpoints.directory import CheckpointError, write_checkpoint\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "save = lambda path: save_file({'x': numpy.zeros(1 << 20)}, path / 'fit.safetensors')\n"
        "try:\n    write_checkpoint(Path(sys.argv[1]), 1, save, {}, keep=1)\nexcept CheckpointError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, timeout=120, check=True)
    assert "step-000001: cannot be written (" in done.stdout and "make room there" in done.stdout


def test_a_deletion_that_was_killed_leaves_nothing_that_counts(tmp_path, monkeypatch):
    for step in (1, 2):
        write_checkpoint(tmp_path, step, fill, {}, keep=5)

    def killed(path, **_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", killed)
        prune(tmp_path, keep=1)
    assert [checkpoint.step for checkpoint in complete(tmp_path)] == [2]
    prune(tmp_path, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000002"]


class Killed(BaseException):
    """As by SIGKILL: nobody handles it."""


def test_a_kill_at_any_moment_leaves_what_counts_whole(tmp_path, monkeypatch):
    """Before every call that changes the disk, in turn, while checkpoint 3 takes the place of 1 and 2."""
    places = [(Path, "mkdir"), (Path, "rename"), (Path, "touch"), (Path, "replace"), (shutil, "rmtree"), (directory, "sync_tree")]
    places += [(directory, "sync"), (directory, "replace_text")]
    for moment in count(1):
        root, left = tmp_path / str(moment), [moment]
        for step in (1, 2):
            write_checkpoint(root, step, fill, {"step": step}, keep=2)

        def counted(original, left=left):
            def call(*args, **kwargs):
                left[0] -= 1
                if left[0] == 0:
                    raise Killed
                return original(*args, **kwargs)

            return call

        with monkeypatch.context() as patch:
            for owner, name in places:
                patch.setattr(owner, name, counted(getattr(owner, name)))
            try:
                write_checkpoint(root, 3, fill, {"step": 3}, keep=1)
            except Killed:
                pass
            else:
                break
        found = complete(root)
        assert found[-1].step in (2, 3)
        for path, state in found:
            assert state == {"step": int(path.name[-1])} and (path / "weights").read_text() == "w"
        write_checkpoint(root, 3, fill, {"step": 3}, keep=1)
        assert [path.name for path in root.iterdir()] == ["step-000003"], "the next write clears up"
    assert moment > 12


def test_the_same_step_again_replaces_it(tmp_path):
    write_checkpoint(tmp_path, 3, fill, {"run": 1}, keep=2)
    path = write_checkpoint(tmp_path, 3, fill, {"run": 2}, keep=2)
    assert newest_complete(tmp_path) == (path, {"run": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["step-000003"]


def test_steps_are_ordered_by_number(tmp_path):
    write_checkpoint(tmp_path, 999_999, fill, {}, keep=5)
    newest = write_checkpoint(tmp_path, 1_000_000, fill, {}, keep=5)
    assert newest_complete(tmp_path)[0] == newest


def test_what_a_run_goes_on_from(tmp_path):
    root = tmp_path / "checkpoints"
    assert find(root, True) is None, "there is none: from the beginning"
    first, second = (write_checkpoint(root, step, fill, {"step": step}, keep=5) for step in (1, 2))
    (root / "best").symlink_to(first.name)
    assert find(root, False) is None
    assert find(root, True).path == second
    assert find(root, first).path == find(root, root / "best").path == first
    (first / "complete").unlink()
    for other in (first, root / "step-000009", tmp_path):
        with pytest.raises(CheckpointError, match=r"not a complete checkpoint of this run; .* has step-000002; give one of them"):
            find(root, other)


def test_later_checkpoints_are_set_aside_and_not_lost(tmp_path, capsys):
    paths = [write_checkpoint(tmp_path, step, fill, {}, keep=5) for step in (1, 2, 3)]
    set_later_aside(tmp_path, 1)
    assert newest_complete(tmp_path).path == paths[0]
    assert {p.name for p in tmp_path.iterdir()} == {"step-000001", "step-000002.1", "step-000003.1"}
    assert capsys.readouterr().out.count("set aside") == 2


def test_a_damaged_state_is_one_line(tmp_path):
    path = write_checkpoint(tmp_path, 1, fill, {}, keep=5)
    (path / "state.json").write_text("{half")
    with pytest.raises(CheckpointError, match=r"state.json: cannot be read .*; move step-000001 away") as refused:
        newest_complete(tmp_path)
    assert "\n" not in str(refused.value)
