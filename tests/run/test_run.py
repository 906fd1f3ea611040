"""The run directory: setting aside, resuming, and refusing to resume what is another run."""

import json
import os
import signal
from types import SimpleNamespace

import pytest

from ib_lpo.errors import UserError
from ib_lpo.learner.group import LearnerLost
from ib_lpo.manifest import dump, validate
from ib_lpo.run import Run, left_to_do
from ib_lpo.termination import Terminated, Termination


def manifest(tmp_path, **values):
    base = {"name": "r", "steps": 5, "seed": 3, "runs_dir": str(tmp_path), "model": {"path": "m"}, "tracking": {"wandb": "disabled"}}
    return validate(base | values)


class Learner:
    """Knows what was asked of it."""

    def __init__(self):
        self.calls = []

    def save(self, path):
        (path / "weights").write_text("w")

    def load(self, path):
        self.calls.append(("load", path.parent.name))

    def restart(self):
        self.calls.append(("restart",))


PARTS = SimpleNamespace(decode=str, learner=Learner(), sets=SimpleNamespace(train=[]), scheduler=SimpleNamespace(abandon=lambda: None))
SILENT = {"advantage/groups": 2.0, "advantage/all_wrong_groups": 2.0}


def interrupted_after(tmp_path, step, **values):
    """A run directory with a complete checkpoint of `step`, and metrics beyond it."""
    folder = tmp_path / "r"
    checkpoint = folder / "checkpoints" / f"step-{step:06d}"
    checkpoint.mkdir(parents=True)
    state = {"step": step, "batches": step, "unfinished": {}, "spare": [], "latent": None, "questions": ""}
    (checkpoint / "state.json").write_text(json.dumps(state))
    (checkpoint / "complete").touch()
    (folder / "manifest.yaml").write_text(dump(manifest(tmp_path, **values)))
    (folder / "metrics.jsonl").write_text("".join(json.dumps({"step": n}) + "\n" for n in range(step + 3)))


def recorded(tmp_path, key="step"):
    """`key` of every line of metrics.jsonl."""
    return [json.loads(line)[key] for line in (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()]


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
    assert recorded(tmp_path) == [0, 1, 2]
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


def test_a_checkpoint_keeps_the_position_in_the_data(tmp_path):
    settings = {"checkpoint": {"every": 1}}
    with Run(manifest(tmp_path, **settings), resume=False) as run:
        assert [run.draws.next(step) for step in (1, 1, 2)] == [0, 1, 2]
        run.record(1, [], {}, PARTS)
        assert run.draws.next(2) == 3
    with Run(manifest(tmp_path, **settings), resume=True) as run:
        assert run.done == 1
        assert [run.draws.next(step) for step in (3, 2, 2)] == [3, 2, 4]  # 3 was drawn after the checkpoint, 2 before it and for step 2


def test_a_run_that_has_begun_does_not_measure_its_start_again(tmp_path):
    settings = {"checkpoint": {"every": 1}}
    with Run(manifest(tmp_path, **settings), resume=False) as run:
        assert not run.begun
        run.log_start({"held_out/accuracy": 0.5})
        assert run.begun
        run.record(1, [], {}, PARTS)
    with Run(manifest(tmp_path, **settings), resume=True) as run:
        assert run.begun
    with Run(manifest(tmp_path, **settings), resume=False) as run:
        assert not run.begun


def lost():
    return LearnerLost("learner-1.update: the worker died", "learner-1")


def test_rewind_goes_back_to_the_newest_checkpoint_and_does_what_came_after_it_again(tmp_path, capsys):
    parts = SimpleNamespace(decode=str, learner=Learner(), sets=SimpleNamespace(train=[]))
    with Run(manifest(tmp_path, checkpoint={"every": 2}), resume=False) as run:
        run.log_start({})
        for step in (1, 2, 3):
            assert run.draws.next(step) == step - 1
            run.record(step, [], {"grade/reward": 0.1}, parts)
        run.draws.next(4)
        assert run.rewind(parts, lost()) == run.done == 2
        assert parts.learner.calls == [("restart",), ("load", "step-000002")]
        assert recorded(tmp_path) == [0, 1, 2] and run.begun
        assert run.draws.next(3) == 2
        run.record(3, [], {"grade/reward": 0.2}, parts)
    assert recorded(tmp_path) == [0, 1, 2, 3]
    lines = [json.loads(line) for line in (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()]
    assert lines[3]["grade/reward"] == 0.2 and lines[3]["fleet/learner_losses"] == 1 and lines[3]["seconds/recovery"] >= 0
    assert "the learner is started again from step 2; 1 steps are done again" in capsys.readouterr().out


def test_rewind_without_a_checkpoint_goes_back_to_the_start(tmp_path):
    parts = SimpleNamespace(decode=str, learner=Learner(), sets=SimpleNamespace(train=[]))
    with Run(manifest(tmp_path, checkpoint={"every": 9}), resume=False) as run:
        run.log_start({})
        run.draws.next(1)
        run.record(1, [], {}, parts)
        assert run.rewind(parts, lost()) == run.done == 0
        assert parts.learner.calls == [("restart",)]
        assert not run.begun and run.draws.next(1) == 0
        run.log_start({})
    assert recorded(tmp_path) == [0]


def test_a_learner_that_is_lost_too_often_ends_the_run(tmp_path):
    with Run(manifest(tmp_path, cluster={"most_restarts": 2}), resume=False) as run:
        for _ in range(2):
            run.rewind(PARTS, lost())
        with pytest.raises(LearnerLost, match=r"learner-1\.update: the worker died"):
            run.rewind(PARTS, lost())


def test_other_questions_than_those_of_the_checkpoint_are_refused(tmp_path):
    with Run(manifest(tmp_path, checkpoint={"every": 1}), resume=False) as run:
        run.record(1, [], {}, PARTS)
    others = SimpleNamespace(id="q", prompt_ids=(1,), answer="2")
    parts = SimpleNamespace(decode=str, learner=Learner(), sets=SimpleNamespace(train=[others]))
    with Run(manifest(tmp_path, checkpoint={"every": 1}), resume=True) as run:
        with pytest.raises(UserError, match=r"data\.train: .* its questions are not those that .*step-000001 was trained on"):
            run.restore(parts)
        assert run.restore(PARTS) == 1


def with_latent(tmp_path, text="one fit"):
    """Settings of a run whose trained latent is `text`."""
    (tmp_path / "latent").mkdir(exist_ok=True)
    (tmp_path / "latent" / "latent.safetensors").write_text(text)
    (tmp_path / "latent" / "latent.json").write_text("{}")
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
    assert recorded(tmp_path, "alarms/silence") == [0, 0, 1]


@pytest.mark.parametrize(
    ("tokens", "steps", "ends_at"), [((40, 40, 40), 5, 3), ((100, 1, 1), 5, 1), ((99, 1, 1), 5, 2), ((10, 10, 10), 2, 2)]
)
def test_a_run_ends_with_the_step_that_spends_the_budget(tmp_path, tokens, steps, ends_at):
    with Run(manifest(tmp_path, steps=steps, budget={"generated_tokens": 100}), resume=False) as run:
        run.log_start({})
        for step, generated in enumerate(tokens, start=1):
            metrics = {"grow/tokens": generated}
            assert not run.over
            assert run.ends_with(step, metrics) == (step == ends_at)
            run.record(step, [], metrics | run.tokens_total(metrics), PARTS)
            if step == ends_at:
                break
        assert run.over
    lines = [json.loads(line) for line in (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()]
    assert [line["grow/tokens_total"] for line in lines[1:]] == [sum(tokens[:n]) for n in range(1, ends_at + 1)]


def test_a_run_that_goes_on_counts_what_its_record_holds(tmp_path, capsys):
    """Of a checkpoint that was written before a budget was set, too; what was recorded after the checkpoint does not count."""
    with Run(manifest(tmp_path, checkpoint={"every": 2}), resume=False) as run:
        run.log_start({})
        for step in (1, 2, 3):
            run.record(step, [], {"grow/tokens": 30}, PARTS)
    settings = {"checkpoint": {"every": 2}, "budget": {"generated_tokens": 90}}
    with Run(manifest(tmp_path, **settings), resume=True) as run:
        assert run.done == 2 and not run.over
        assert run.tokens_total({"grow/tokens": 29}) == {"grow/tokens_total": 89}
        assert not run.ends_with(3, {"grow/tokens": 29}) and run.ends_with(3, {"grow/tokens": 30})
        run.record(3, [], {"grow/tokens": 30}, PARTS)
        assert run.over
    assert "step 3 is the last one: budget.generated_tokens=90 is spent" in capsys.readouterr().out
    assert (tmp_path / "r" / "checkpoints" / "step-000003" / "complete").exists()
    with Run(manifest(tmp_path, **settings), resume=True) as run:
        assert run.done == 3 and run.over
    with Run(manifest(tmp_path, **settings | {"budget": {"generated_tokens": 91}}), resume=True) as run:
        assert not run.over


def test_a_rewind_takes_back_what_was_spent(tmp_path):
    parts = SimpleNamespace(decode=str, learner=Learner(), sets=SimpleNamespace(train=[]))
    with Run(manifest(tmp_path, checkpoint={"every": 1}, budget={"generated_tokens": 50}), resume=False) as run:
        run.log_start({})
        run.record(1, [], {"grow/tokens": 30}, parts)
        assert run.ends_with(2, {"grow/tokens": 30})
        assert run.rewind(parts, lost()) == 1
        assert run.tokens_total({"grow/tokens": 19}) == {"grow/tokens_total": 49} and not run.ends_with(2, {"grow/tokens": 19})


def test_other_numbers_of_ranks_engines_and_scorers_are_the_same_run(tmp_path):
    interrupted_after(tmp_path, 2)
    learner, rollout = {"ranks": 5, "max_tokens_per_micro_batch": 8192, "max_logprob_gap": 0.2}, {"engines": 3, "kv_cache_gb": 2.0}
    with Run(manifest(tmp_path, learner=learner, rollout=rollout, ib={"replicas": 2}), resume=True) as run:
        assert run.done == 2


def recorded_without_a_checkpoint(tmp_path, steps=3, **values):
    with Run(manifest(tmp_path, checkpoint={"every": 0}, **values), resume=False) as run:
        run.log_start({})
        for step in range(1, steps + 1):
            run.record(step, [], {"note": 1.0}, PARTS)


def test_resume_without_a_checkpoint_sets_what_is_recorded_aside(tmp_path, capsys):
    recorded_without_a_checkpoint(tmp_path)
    with Run(manifest(tmp_path), resume=True) as run:
        assert run.done == 0 and not run.begun
    assert "r was set aside as" in " ".join(capsys.readouterr().out.split())
    lines = (tmp_path / "r.1" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1, 2, 3]
    assert not (tmp_path / "r" / "metrics.jsonl").exists()


def test_resume_without_a_checkpoint_is_the_same_run_or_none(tmp_path):
    recorded_without_a_checkpoint(tmp_path)
    with pytest.raises(UserError, match=r"learner: was lr 1e-06, is now 0\.5"):
        Run(manifest(tmp_path, learner={"lr": 0.5}), resume=True)
    assert recorded(tmp_path) == [0, 1, 2, 3] and not (tmp_path / "r.1").exists()


@pytest.mark.parametrize("resume", [True, False])
def test_a_run_with_steps_left_is_not_finished(tmp_path, resume):
    assert left_to_do(manifest(tmp_path), resume)  # nothing is there
    interrupted_after(tmp_path, 2)
    assert left_to_do(manifest(tmp_path), resume)
    assert left_to_do(manifest(tmp_path, steps=2), False)


def everything(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_finished_run_is_one_line_and_stays_as_it_is(tmp_path, capsys):
    interrupted_after(tmp_path, 5)
    before = everything(tmp_path)
    assert not left_to_do(manifest(tmp_path), True)
    told = capsys.readouterr().out
    assert "run r is finished: step 5 of 5 is done" in " ".join(told.split())
    assert everything(tmp_path) == before


def test_a_finished_run_without_a_checkpoint_too(tmp_path):
    recorded_without_a_checkpoint(tmp_path, steps=5)
    assert not left_to_do(manifest(tmp_path), True)
    with pytest.raises(UserError, match="learner: was lr"):
        left_to_do(manifest(tmp_path, learner={"lr": 0.5}), True)


def test_a_spent_budget_finishes_a_run(tmp_path, capsys):
    recorded_without_a_checkpoint(tmp_path, steps=2)
    path = tmp_path / "r" / "metrics.jsonl"
    path.write_text("".join(json.dumps(json.loads(line) | {"grow/tokens": 50}) + "\n" for line in path.read_text().splitlines()))
    assert not left_to_do(manifest(tmp_path, budget={"generated_tokens": 100}), True)
    assert "budget.generated_tokens=100 is spent" in " ".join(capsys.readouterr().out.split())
    assert left_to_do(manifest(tmp_path, budget={"generated_tokens": 151}), True)


def test_fewer_steps_than_are_done_are_refused(tmp_path):
    interrupted_after(tmp_path, 5)
    before = everything(tmp_path)
    with pytest.raises(UserError, match=r"steps=3: .*step-000005 has done 5; raise steps, name an earlier checkpoint") as caught:
        left_to_do(manifest(tmp_path, steps=3), True)
    assert "\n" not in str(caught.value) and everything(tmp_path) == before


def steps_saved(tmp_path):
    return sorted(path.name for path in (tmp_path / "r" / "checkpoints").glob("step-*"))


@pytest.fixture
def asked_run(tmp_path):
    """A run of which step 1 is recorded and not saved, within a termination."""
    with Termination(60) as termination, termination.deferred(), Run(manifest(tmp_path, checkpoint={"every": 4}), resume=False) as run:
        run.ends_on(termination)
        run.log_start({})
        run.draws.next(1)
        run.record(1, [], {}, PARTS)
        yield run


def test_a_signal_while_a_step_grows_drops_it_and_saves_the_one_before(tmp_path, asked_run):
    with asked_run.phase("grow"):
        asked_run.draws.next(2)
        asked_run.past_forks.add([])
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Terminated, match="SIGTERM") as asked:
            asked_run.stop_if_asked()
    told = asked_run.leave(PARTS, asked.value)
    assert "SIGTERM: asked to end; step 1 of 5 is saved, go on with --resume" in str(told)
    assert steps_saved(tmp_path) == ["step-000001"]
    with Run(manifest(tmp_path), resume=True) as resumed:
        assert resumed.done == 1 and resumed.draws.next(2) == 1  # the dropped step's questions


def test_a_signal_during_the_update_waits_for_the_record(tmp_path, asked_run):
    with asked_run.phase("update"):
        os.kill(os.getpid(), signal.SIGHUP)
        asked_run.stop_if_asked()
    with asked_run.phase("publish"):
        asked_run.stop_if_asked()
    asked_run.record(2, [], {}, PARTS)
    with pytest.raises(Terminated, match="SIGHUP") as asked, asked_run.phase("grow"):
        pytest.fail("another step began")
    asked_run.leave(PARTS, asked.value)
    assert steps_saved(tmp_path) == ["step-000002"]


def test_a_signal_before_the_update_drops_the_step(asked_run):
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Terminated), asked_run.phase("update"):
        pytest.fail("the learner moved on")


def test_a_check_is_dropped_and_its_step_is_not(asked_run):
    with asked_run.phase("update"):
        pass
    with pytest.raises(Terminated), asked_run.phase("held_out"):
        os.kill(os.getpid(), signal.SIGTERM)
        asked_run.stop_if_asked()
    asked_run.record(2, [], {}, PARTS)
    assert asked_run.done == 2


def test_nothing_is_saved_twice(tmp_path, asked_run):
    for step in (2, 3, 4):
        asked_run.record(step, [], {}, PARTS)
    assert steps_saved(tmp_path) == ["step-000004"]
    before = everything(tmp_path / "r" / "checkpoints")
    assert "step 4 of 5 is saved" in str(asked_run.leave(PARTS, Terminated("asked")))
    assert everything(tmp_path / "r" / "checkpoints") == before


def test_before_the_first_step_there_is_nothing_to_save(tmp_path):
    with Run(manifest(tmp_path), resume=False) as run:
        assert str(run.leave(PARTS, Terminated("asked"))) == "asked; no step is done yet, --resume starts over"
    assert steps_saved(tmp_path) == []


def test_without_checkpoints_nothing_is_saved(tmp_path):
    with Run(manifest(tmp_path, checkpoint={"every": 0}), resume=False) as run:
        run.record(1, [], {}, PARTS)
        assert "asked; go on from step 0 with --resume" in str(run.leave(PARTS, Terminated("asked")))
    assert steps_saved(tmp_path) == []
