"""`ib-lpo train`: what it prints, what it calls, and how it refuses."""

import subprocess
import sys
import types
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ib_lpo import manifest
from ib_lpo.cli import app

ROOT = Path(__file__).resolve().parents[2]
SMOKE = str(ROOT / "configs/smoke.yaml")


def invoke(*arguments: str):
    return CliRunner().invoke(app, ["train", *arguments])


@pytest.fixture
def calls(monkeypatch):
    """Every (manifest, resume) that reaches the training loop, which is replaced."""
    made = []
    loop = types.ModuleType("ib_lpo.train")
    loop.train = lambda m, resume: made.append((m, resume))
    monkeypatch.setitem(sys.modules, "ib_lpo.train", loop)
    return made


def test_dry_run_prints_the_resolved_manifest(tmp_path):
    result = invoke(SMOKE, "learner.lr=0.5", "--dry-run")
    assert result.exit_code == 0
    printed = tmp_path / "printed.yaml"
    printed.write_text(result.stdout)
    assert manifest.load(printed) == manifest.load(SMOKE, ["learner.lr=0.5"])
    assert manifest.load(printed).learner.lr == 0.5


def test_dry_run_imports_neither_torch_nor_ray():
    code = (
        "import sys; from ib_lpo.cli import app\n"
        f"app(['train', {SMOKE!r}, '--dry-run'], standalone_mode=False)\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'ray', 'vllm', 'transformers', 'deepspeed')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=300, check=False).returncode == 0


def test_unknown_key_is_one_line_and_exit_code_2():
    done = subprocess.run(
        [sys.executable, "-m", "ib_lpo", "train", SMOKE, "learner.lrr=1", "--dry-run"],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == ["learner.lrr: unknown key; remove it or check its spelling (value 1)"]


def test_every_problem_has_its_own_line():
    result = invoke(SMOKE, "learner.lr=-1", "steps=0", "--dry-run")
    assert result.exit_code == 2
    assert [line.split("=")[0] for line in result.stderr.splitlines()] == ["steps", "learner.lr"]


def test_missing_manifest_is_named():
    result = invoke("no/such.yaml")
    assert result.exit_code == 2
    assert "no such manifest" in result.stderr and len(result.stderr.splitlines()) == 1


def test_trains_what_the_manifest_says(calls, tmp_path):
    assert invoke(SMOKE, f"runs_dir={tmp_path}", "steps=3").exit_code == 0
    (made, resume), *others = calls
    assert (made.steps, made.run_dir, resume, others) == (3, tmp_path / "smoke", False, [])


def test_existing_run_needs_a_decision(calls, tmp_path):
    (tmp_path / "smoke").mkdir()
    result = invoke(SMOKE, f"runs_dir={tmp_path}")
    assert (result.exit_code, calls) == (2, [])
    for part in (str(tmp_path / "smoke"), "--resume", "--fresh"):
        assert part in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_resume_keeps_the_directory(calls, tmp_path):
    (tmp_path / "smoke").mkdir()
    (tmp_path / "smoke" / "metrics.jsonl").write_text("{}")
    assert invoke(SMOKE, f"runs_dir={tmp_path}", "--resume").exit_code == 0
    assert calls[0][1] is True
    assert (tmp_path / "smoke" / "metrics.jsonl").exists()


def test_resume_of_nothing_starts(calls, tmp_path):
    assert invoke(SMOKE, f"runs_dir={tmp_path}", "--resume").exit_code == 0
    assert calls[0][1] is True


def test_fresh_reaches_the_loop_with_the_old_run_in_place(calls, tmp_path):
    (tmp_path / "smoke").mkdir()
    assert invoke(SMOKE, f"runs_dir={tmp_path}", "--fresh").exit_code == 0
    assert [resume for _, resume in calls] == [False]
    assert (tmp_path / "smoke").exists()


def test_unwritable_runs_dir_is_one_line(calls, tmp_path):
    (tmp_path / "file").write_text("")
    result = invoke(SMOKE, f"runs_dir={tmp_path / 'file' / 'runs'}")
    assert (result.exit_code, calls) == (2, [])
    assert result.stderr.startswith("runs_dir=") and len(result.stderr.splitlines()) == 1


def test_ctrl_c_is_exit_code_130(monkeypatch, tmp_path):
    def interrupted(m, resume):
        raise KeyboardInterrupt

    loop = types.ModuleType("ib_lpo.train")
    loop.train = interrupted
    monkeypatch.setitem(sys.modules, "ib_lpo.train", loop)
    result = invoke(SMOKE, f"runs_dir={tmp_path}")
    assert result.exit_code == 130
    assert "--resume" in result.stderr


def test_a_bug_keeps_its_traceback(monkeypatch, tmp_path):
    loop = types.ModuleType("ib_lpo.train")
    loop.train = lambda m, resume: {}["missing"]
    monkeypatch.setitem(sys.modules, "ib_lpo.train", loop)
    assert isinstance(invoke(SMOKE, f"runs_dir={tmp_path}").exception, KeyError)
