"""The run directory: setting aside, resuming, and refusing to resume what is another run."""

import json
from types import SimpleNamespace

import pytest

from ib_lpo.errors import UserError
from ib_lpo.manifest import dump, validate
from ib_lpo.run import Run


def manifest(tmp_path, **values):
    base = {"name": "r", "steps": 5, "seed": 3, "runs_dir": str(tmp_path), "model": {"path": "m"}, "tracking": {"wandb": "disabled"}}
    return validate(base | values)


PARTS = SimpleNamespace(decode=str, learner=SimpleNamespace(save=lambda path: None), sets=SimpleNamespace(train=[]))
SILENT = {"advantage/groups": 2.0, "advantage/all_wrong_groups": 2.0}


def interrupted_after(tmp_path, step, **values):
    """A run directory with a complete checkpoint of `step`, without the number of batches drawn, and metrics beyond it."""
    folder = tmp_path / "r"
    checkpoint = folder / "checkpoints" / f"step-{step:06d}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "state.json").write_text(json.dumps({"step": step}))
    (checkpoint / "complete").touch()
    (folder / "manifest.yaml").write_text(dump(manifest(tmp_path, **values)))
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


def test_a_checkpoint_keeps_the_number_of_batches_drawn(tmp_path):
    settings = {"checkpoint": {"every": 1}}
    with Run(manifest(tmp_path, **settings), resume=False) as run:
        assert [run.next_batch() for _ in range(3)] == [0, 1, 2]
        run.record(1, [], {}, PARTS)
        assert run.next_batch() == 3  # of a step that is not finished
    with Run(manifest(tmp_path, **settings), resume=True) as run:
        assert (run.done, run.next_batch()) == (1, 3)


def test_a_checkpoint_without_that_number_drew_a_batch_a_step(tmp_path):
    interrupted_after(tmp_path, 2)
    with Run(manifest(tmp_path), resume=True) as run:
        assert run.next_batch() == 2


def with_latent(tmp_path, text="one fit"):
    """Settings of a run whose trained latent is `text`."""
    (tmp_path / "latent").mkdir(exist_ok=True)
    (tmp_path / "latent" / "latent.safetensors").write_text(text)
    return {"checkpoint": {"every": 1}, "latent": {"kind": "cvae", "weights": str(tmp_path / "latent")}}


def test_a_run_is_not_resumed_with_another_latent(tmp_path):
    settings = with_latent(tmp_path)
    with Run(manifest(tmp_path, **settings), resume=False) as run:
        run.record(1, [], {}, PARTS)
    with_latent(tmp_path, "another fit")
    with pytest.raises(UserError, match=r"^latent\.weights='.*latent': holds another latent than step 1 of .* --fresh$"):
        Run(manifest(tmp_path, **settings), resume=True)
    with_latent(tmp_path)
    with Run(manifest(tmp_path, **settings), resume=True) as run:
        assert run.done == 1
    (tmp_path / "latent" / "latent.safetensors").unlink()
    with pytest.raises(UserError, match=r"^latent\.weights='.*latent': no usable latent\.json and latent\.safetensors"):
        Run(manifest(tmp_path, **settings), resume=True)


def test_a_checkpoint_that_does_not_name_its_latent_is_resumed(tmp_path):
    settings = with_latent(tmp_path)
    interrupted_after(tmp_path, 2, **settings)
    with Run(manifest(tmp_path, **settings), resume=True) as run:
        assert run.done == 2


def test_a_schedule_that_ends_at_the_last_step_fixes_the_number_of_steps(tmp_path):
    scheduled = {"learner": {"lr_schedule": "cosine"}}
    interrupted_after(tmp_path, 2, **scheduled)
    with pytest.raises(UserError, match=r"steps: was 5, is now 9 \(learner.lr_schedule=cosine ends at the last step\)"):
        Run(manifest(tmp_path, steps=9, **scheduled), resume=True)
    with Run(manifest(tmp_path, **scheduled), resume=True) as run:
        assert run.done == 2


def test_alarms_are_told_counted_and_survive_a_resume(tmp_path, capsys):
    settings = {"learner": {"advantage": {"silent_steps": 3}}, "checkpoint": {"every": 2}}
    with Run(manifest(tmp_path, **settings), resume=False) as run:
        for step in (1, 2):
            run.record(step, [], dict(SILENT), PARTS)
    assert "ALARM" not in capsys.readouterr().out
    with Run(manifest(tmp_path, **settings), resume=True) as run:
        run.record(3, [], dict(SILENT), PARTS)
    assert "ALARM step 3: no group had signal in 3 steps" in capsys.readouterr().out
    lines = [json.loads(line) for line in (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()]
    assert [line["alarms/silence"] for line in lines] == [0, 0, 1]
