"""`--resume`, alone or with a value, and `--fresh`: what reaches training, fits and evaluations."""

import sys
import types
from itertools import zip_longest
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from ib_lpo.cli import app
from ib_lpo.cli.common import resume_spelled_out

SMOKE = str(Path(__file__).resolve().parents[2] / "configs/smoke.yaml")
COMMANDS = {"train": ("train", "ib_lpo.train", ""), "latent fit": ("fit", "ib_lpo.latent.fitting.fit", "-latent")}
COMMANDS["eval"] = ("evaluate", "ib_lpo.evaluation.evaluate", "-eval")


@pytest.fixture(params=COMMANDS)
def command(request, monkeypatch, tmp_path):
    """A command whose work is replaced by a note of what it was to go on from; its directory is there."""
    function, module, suffix = COMMANDS[request.param]
    resumed = []
    stand_in = types.ModuleType(module)
    setattr(stand_in, function, lambda manifest, resume: resumed.append(resume))
    monkeypatch.setitem(sys.modules, module, stand_in)
    (tmp_path / f"smoke{suffix}").mkdir()

    def run(*arguments):
        result = CliRunner().invoke(app, [*request.param.split(), SMOKE, f"runs_dir={tmp_path}", *arguments])
        return result.exit_code, resumed, result.stderr

    run.name = request.param
    return run


@pytest.mark.parametrize(
    ("arguments", "goes_on_from"),
    [
        (["--resume"], True),
        (["--resume", "auto"], True),
        (["--resume=auto"], True),
        (["--resume", "seed=3"], True),
        (["seed=3", "--resume"], True),
        (["--fresh"], False),
        (["--fresh", "seed=3"], False),
    ],
)
def test_what_a_run_goes_on_from(command, arguments, goes_on_from):
    assert command(*arguments)[:2] == (0, [goes_on_from])


@pytest.mark.parametrize("arguments", [["--resume", "runs/smoke/checkpoints/step-000002"], ["--resume=runs/smoke/checkpoints/step-000002"]])
def test_a_certain_checkpoint(command, arguments):
    code, resumed, told = command(*arguments)
    if command.name == "eval":
        assert (code, resumed) == (2, []) and "an evaluation has no checkpoints" in told
    else:
        assert (code, resumed) == (0, [Path("runs/smoke/checkpoints/step-000002")])


@pytest.mark.parametrize(
    ("arguments", "complaint"), [([], "is there already; go on with it with --resume"), (["--resume", "--fresh"], "give one")]
)
def test_no_decision_or_two_is_one_line(command, arguments, complaint):
    code, resumed, told = command(*arguments)
    assert (code, resumed) == (2, []) and complaint in told and len(told.splitlines()) == 1


def test_the_manifest_may_come_after(tmp_path, monkeypatch):
    resumed = []
    stand_in = types.ModuleType("ib_lpo.train")
    stand_in.train = lambda manifest, resume: resumed.append((manifest.seed, resume))
    monkeypatch.setitem(sys.modules, "ib_lpo.train", stand_in)
    assert CliRunner().invoke(app, ["train", "--resume", SMOKE, f"runs_dir={tmp_path}", "seed=3"]).exit_code == 0
    assert resumed == [(3, True)]


@given(st.lists(st.sampled_from(["--resume", "--resume=x", "auto", "m.yaml", "a=1", "--fresh", "runs/r"]), max_size=6))
def test_nothing_else_is_touched(args):
    spelled = resume_spelled_out(args)
    assert [new for old, new in zip(args, spelled, strict=True) if old != "--resume"] == [old for old in args if old != "--resume"]
    for old, new, after in zip_longest(args, spelled, args[1:]):
        if old == "--resume":
            assert new == ("--resume" if after in ("auto", "runs/r") else "--resume=auto")
