"""The run directory: setting aside, resuming, and refusing to resume what is another run."""

import json

import pytest

from ib_lpo.errors import UserError
from ib_lpo.manifest import dump, validate
from ib_lpo.run import Run


def manifest(tmp_path, **values):
    base = {"name": "r", "steps": 5, "seed": 3, "runs_dir": str(tmp_path), "model": {"path": "m"}, "tracking": {"wandb": "disabled"}}
    return validate(base | values)


def interrupted_after(tmp_path, step):
    """A run directory with a complete checkpoint of `step` and metrics beyond it."""
    folder = tmp_path / "r"
    checkpoint = folder / "checkpoints" / f"step-{step:06d}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "state.json").write_text(json.dumps({"step": step}))
    (checkpoint / "complete").touch()
    (folder / "manifest.yaml").write_text(dump(manifest(tmp_path)))
    (folder / "metrics.jsonl").write_text("".join(json.dumps({"step": n}) + "\n" for n in range(step + 3)))


def test_a_fresh_run_sets_the_old_one_aside_and_loses_nothing(tmp_path, capsys):
    for text in ("first", "second"):
        (tmp_path / "r").mkdir(exist_ok=True)
        (tmp_path / "r" / "note").write_text(text)
        with Run(manifest(tmp_path), resume=False) as run:
            assert run.done == 0
    assert [(tmp_path / f"r.{n}" / "note").read_text() for n in (1, 2)] == ["first", "second"]
    assert not (tmp_path / "r" / "note").exists()
    assert "set aside" in capsys.readouterr().out


def test_resume_goes_on_after_the_checkpoint_and_drops_later_metrics(tmp_path, capsys):
    interrupted_after(tmp_path, 2)
    with Run(manifest(tmp_path, steps=9, tracking={"wandb": "disabled", "project": "other"}), resume=True) as run:
        assert run.done == 2
    assert [json.loads(line)["step"] for line in (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()] == [0, 1, 2]
    assert "from step 2" in capsys.readouterr().out


def test_resume_of_nothing_says_so(tmp_path, capsys):
    with Run(manifest(tmp_path), resume=True) as run:
        assert run.done == 0
    assert "no checkpoint to resume from" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [({"seed": 4}, "seed: was 3, is now 4"), ({"learner": {"lr": 0.5}}, "learner: was lr 1e-06, is now 0.5")],
)
def test_another_run_is_not_resumed(tmp_path, changed, complaint):
    interrupted_after(tmp_path, 2)
    before = (tmp_path / "r" / "manifest.yaml").read_text()
    with pytest.raises(UserError, match=complaint):
        Run(manifest(tmp_path, **changed), resume=True)
    assert (tmp_path / "r" / "manifest.yaml").read_text() == before
