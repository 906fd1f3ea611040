"""The latent in a run's checkpoints is the one that the run began with, whatever becomes of `latent.weights` meanwhile."""

import errno
import shutil
from types import SimpleNamespace

import pytest

from ib_lpo.checkpoints.contents import fill
from ib_lpo.checkpoints.directory import complete
from ib_lpo.errors import UserError
from ib_lpo.latent import store
from ib_lpo.latent.store import keep_latent, latent_digest
from ib_lpo.manifest import validate
from ib_lpo.run import Run


class Learner:
    def save(self, path):
        (path / "weights").write_text("w")


@pytest.fixture
def fitted(tmp_path):
    refit(tmp_path / "fitted", "first")
    latent = {"kind": "cvae", "weights": str(tmp_path / "fitted")}
    return validate({"name": "r", "steps": 3, "runs_dir": str(tmp_path), "model": {"path": "m"}, "latent": latent})


def refit(directory, text):
    directory.mkdir(exist_ok=True)
    (directory / "latent.safetensors").write_text(f"tensors of the {text}")
    (directory / "latent.json").write_text(f"facts of the {text}")


def saved(directory, manifest, kept):
    directory.mkdir()
    fill(directory, manifest, Learner(), kept)
    return {path.name: path.read_text() for path in (directory / "latent").iterdir()}


FIRST = {"latent.safetensors": "tensors of the first", "latent.json": "facts of the first"}


def test_a_fit_in_the_middle_of_the_run_changes_no_checkpoint(fitted, tmp_path):
    kept = keep_latent(fitted, tmp_path / "r" / "latent", digest := latent_digest(fitted))
    assert kept.digest == digest
    refit(tmp_path / "fitted", "second")
    assert saved(tmp_path / "one", fitted, kept) == FIRST
    shutil.rmtree(tmp_path / "fitted")
    assert saved(tmp_path / "two", fitted, kept) == FIRST
    assert keep_latent(fitted, tmp_path / "r" / "latent", digest) == kept, "a resumed run has it"


def test_what_a_kill_left_of_a_copy_is_made_anew(fitted, tmp_path):
    (tmp_path / "r" / "latent").mkdir(parents=True)
    (tmp_path / "r" / "latent" / "latent.safetensors").write_text("half")
    (tmp_path / "r" / ".latent.partial").mkdir()
    kept = keep_latent(fitted, tmp_path / "r" / "latent", latent_digest(fitted))
    assert saved(tmp_path / "one", fitted, kept) == FIRST
    assert [path.name for path in (tmp_path / "r").iterdir()] == ["latent"]


def test_another_one_than_was_read_is_refused(fitted, tmp_path):
    digest = latent_digest(fitted)
    refit(tmp_path / "fitted", "second")
    with pytest.raises(UserError, match="its latent was replaced while it was in use"):
        keep_latent(fitted, tmp_path / "r" / "latent", digest)


def test_a_full_disk_is_not_taken_for_an_unusable_latent(fitted, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    kept = keep_latent(fitted, tmp_path / "r" / "latent", latent_digest(fitted))
    monkeypatch.setattr(store.shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space left"):  # which makes it a CheckpointError
        saved(tmp_path / "one", fitted, kept)
    with pytest.raises(UserError, match=r"new: cannot be written \(.*No space left"):
        keep_latent(fitted, tmp_path / "r" / "new", kept.digest)


def test_without_a_trained_latent_there_is_none(fitted, tmp_path):
    assert keep_latent(fitted, tmp_path / "r" / "latent", None) is None
    assert not (tmp_path / "r").exists()


def test_state_and_latent_of_a_run_agree_after_a_fit(fitted, tmp_path):
    settings = fitted.model_copy(update={"tracking": fitted.tracking.model_copy(update={"wandb": "disabled"})})
    parts = SimpleNamespace(decode=str, learner=Learner(), sets=SimpleNamespace(train=[]))
    with Run(settings, resume=False) as run:
        digest = latent_digest(settings)
        refit(tmp_path / "fitted", "second")
        for step in (1, 2, 3):
            run.draws.next(step)
            run.record(step, [], {}, parts)
    (checkpoint,) = complete(tmp_path / "r" / "checkpoints")
    assert (checkpoint.step, checkpoint.state["latent"]) == (3, digest)
    assert {path.name: path.read_text() for path in (checkpoint.path / "latent").iterdir()} == FIRST
    with pytest.raises(UserError, match="holds another latent than step 3"):
        Run(settings, resume=True)
