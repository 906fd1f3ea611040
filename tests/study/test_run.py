"""A study that is run, killed, gone on with and read: on run directories and results on disk, with workers that write them."""

import json

import pytest
from typer.testing import CliRunner

from ib_lpo.cli import app
from ib_lpo.errors import UserError
from ib_lpo.manifest import load
from ib_lpo.study import workers
from ib_lpo.study.layout import Layout
from ib_lpo.study.record import read_result
from ib_lpo.study.report import write_report
from ib_lpo.study.run import run_study
from ib_lpo.study.state import State, standings
from ib_lpo.study.workers import Ended
from tests.study.made import note_machine, record, study_in


class Writers:
    """Write what a run of two steps leaves behind, the last one first; `broken` fail, `killed` ends the study."""

    def __init__(self, study, runs, broken=(), killed_after=None, record=record):
        self.study, self.runs = study, {run.name: run for run in runs}
        self.broken, self.killed_after, self.record = broken, killed_after, record
        self.started, self.waiting, self.stopped = [], [], False

    def __call__(self, study):
        return self

    @property
    def room(self):
        return self.study.workers - len(self.waiting)

    def start(self, job):
        assert self.room > 0 and load(job.manifest) == self.runs[job.name].manifest
        self.started.append(job.name)
        self.waiting.append(job)

    def wait(self):
        if self.killed_after is not None and len(self.started) - len(self.waiting) >= self.killed_after:
            raise KeyboardInterrupt
        job = self.waiting.pop()
        note_machine(self.study, self.runs[job.name])
        if job.name in self.broken:
            job.log.write_text("starting\nmodel.path='m': is nowhere\n")
            return Ended(name=job.name, code=2)
        self.record(self.runs[job.name])
        return Ended(name=job.name, code=0)

    def stop(self):
        self.stopped = True


def run(monkeypatch, study, runs, **how):
    """The study run by Writers; returns them and what failed."""
    writers = Writers(study, runs, **how)
    monkeypatch.setitem(workers.WORKERS, "local", writers)
    return writers, run_study(study, runs)


def states(study, runs):
    return [one.state.value for one in standings(runs, Layout(study))]


def test_every_run_is_boiled_down_once(tmp_path, monkeypatch):
    study, runs = study_in(tmp_path)
    writers, failures = run(monkeypatch, study, runs)
    assert sorted(writers.started) == sorted(one.name for one in runs) and failures == [] and writers.stopped
    result = read_result(tmp_path / "out" / "results" / "sums" / "forks" / "m1-s0.json")
    assert (result.run, result.model_seed, result.processor, result.steps, result.tokens) == (
        "small-sums-forks-m1-s0",
        1,
        "CPU one",
        2,
        120,
    )
    assert [(p["step"], p["tokens"], p["seconds"], p["held_out/accuracy"]) for p in result.curve] == [
        (0, 0, 0.0, 0.2),
        (1, 60, 2.0, 0.3),
        (2, 120, 4.0, 0.5),
    ]
    assert (result.seconds, result.trained) == (4.0, {"grade/mixed_questions": 0.375, "grow/entropy": 0.1})
    again, _ = run(monkeypatch, study, runs)
    assert again.started == []


def test_a_study_that_is_ended_goes_on_with_what_is_left(tmp_path, monkeypatch):
    study, runs = study_in(tmp_path)
    writers = Writers(study, runs, killed_after=1)
    monkeypatch.setitem(workers.WORKERS, "local", writers)
    with pytest.raises(KeyboardInterrupt):
        run_study(study, runs)
    assert writers.stopped
    note_machine(study, runs[0])
    record(runs[0])  # it came to its end, and its result was not written any more
    kept = sorted(states(study, runs))
    assert kept == ["done", "left", "left", "trained"]
    again, _ = run(monkeypatch, study, runs)
    assert len(again.started) == 2 and states(study, runs) == ["done"] * 4


def test_results_alone_are_enough_to_go_on_on_another_machine(tmp_path, monkeypatch):
    study, runs = study_in(tmp_path)
    run(monkeypatch, study, runs)
    moved, planned = study_in(tmp_path, runs_dir=str(tmp_path / "elsewhere"))
    writers, _ = run(monkeypatch, moved, planned)
    assert writers.started == []


def test_how_far_runs_are(tmp_path):
    study, runs = study_in(tmp_path)
    record(runs[0], tokens=(60,), accuracy=(0.1, 0.2))
    record(runs[1], tokens=(60, 39), accuracy=(0.1, 0.2, 0.3))
    checkpoint = runs[1].manifest.run_dir / "checkpoints" / "step-000001"
    checkpoint.mkdir(parents=True)
    (checkpoint / "state.json").write_text("{}")
    (checkpoint / "complete").touch()
    record(runs[2], tokens=(60, 40), accuracy=(0.1, 0.2, 0.3))
    assert states(study, runs) == [State.LEFT, State.BEGUN, State.TRAINED, State.LEFT]
    record(runs[0], tokens=(1,) * 5, accuracy=(0.1,) * 6)
    assert states(study, runs)[0] == State.TRAINED  # all steps, below the budget


def test_results_and_runs_of_other_settings_are_errors_that_name_run_key_and_fix(tmp_path, monkeypatch):
    study, runs = study_in(tmp_path)
    run(monkeypatch, study, runs[:1])
    changed, planned = study_in(tmp_path, budget_tokens=110)
    record(planned[1], manifest=runs[1].manifest)
    with pytest.raises(UserError) as error:
        run_study(changed, planned)
    first, second = str(error.value).splitlines()
    old, new = runs[0].digest, planned[0].digest
    assert first.startswith(
        f"{planned[0].name}: {tmp_path}/out/results/sums/grpo/m0-s0.json: is of other settings ({old} there, {new} now)"
    )
    assert "budget.generated_tokens: was 100, is now 110; delete it" in first and "give the study another name" in first
    assert second.startswith(f"{planned[1].name}: {planned[1].manifest.run_dir}: is of other settings")
    assert old != new


def test_a_failed_run_is_named_tabled_and_tried_again(tmp_path, monkeypatch, capsys):
    study, runs = study_in(tmp_path)
    broken = runs[1].name
    _, failures = run(monkeypatch, study, runs, broken=[broken])
    assert [failure.told for failure in failures] == [f"{broken}: exit status 2: model.path='m': is nowhere"]
    assert f"FAILED {broken}" in capsys.readouterr().out
    write_report(study, runs)
    page = (tmp_path / "out" / "sums.md").read_text()
    assert f"* {broken}: exit status 2: model.path='m': is nowhere" in page and "| runs | 2 | 1 |" in page
    again, failures = run(monkeypatch, study, runs)
    assert again.started == [broken] and failures == []
    write_report(study, runs)
    page = (tmp_path / "out" / "sums.md").read_text()
    assert "Failed" not in page and "| runs | 2 | 2 |" in page and (tmp_path / "out" / "sums.png").exists()


def test_a_run_that_ends_well_before_its_last_step_has_failed(tmp_path, monkeypatch):
    study, runs = study_in(tmp_path)
    _, failures = run(monkeypatch, study, runs[:1], record=lambda one: record(one, tokens=(60,), accuracy=(0.1, 0.2)))
    assert "the record ends with step 1, before the end of the run" in failures[0].told and failures[0].code == 0
    assert states(study, runs)[0] == State.LEFT


def test_a_damaged_result_is_an_error(tmp_path):
    study, runs = study_in(tmp_path)
    path = Layout(study).result(runs[0])
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"run": "x"}))
    with pytest.raises(UserError, match=r"m0-s0\.json: not a result of a study .*; delete it to run it again"):
        standings(runs, Layout(study))


def test_two_processes_do_not_run_one_study(tmp_path, monkeypatch):
    study, runs = study_in(tmp_path)

    def meanwhile(one):
        with pytest.raises(UserError, match="another process runs this study"):
            run_study(study, runs)
        record(one)

    _, failures = run(monkeypatch, study, runs[:1], record=meanwhile)
    assert failures == []


def test_the_command(tmp_path, monkeypatch):
    study, runs = study_in(tmp_path)
    path = str(tmp_path / "study.yaml")

    def command(*arguments):
        return CliRunner().invoke(app, ["study", path, *arguments])

    shown = command("--dry-run", "--only", "sums/grpo").stdout.splitlines()
    assert shown == [f"{one.name}  left  {one.digest}" for one in runs if one.variant == "grpo"]
    monkeypatch.setitem(workers.WORKERS, "local", Writers(study, runs, broken=[runs[0].name]))
    done = command("--only", "sums/grpo")
    assert done.exit_code == 1 and f"failed: {runs[0].name}: exit status 2" in done.stderr
    page = (tmp_path / "out" / "sums.md").read_text()
    assert f"Not run yet: {runs[1].name}, {runs[3].name}." in page
    monkeypatch.setitem(workers.WORKERS, "local", Writers(study, runs))
    assert command().exit_code == 0 and "| runs | 2 | 2 |" in (tmp_path / "out" / "sums.md").read_text()
    (tmp_path / "out" / "sums.md").unlink()
    assert command("--report").exit_code == 0 and (tmp_path / "out" / "sums.md").exists()
    assert command("workers=0").exit_code == 2
