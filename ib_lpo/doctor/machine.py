"""The machine: compiler, GPUs, memory, disk, ports and environment. Readings are taken in `doctor.diagnose`, judged here."""

import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ib_lpo.doctor.finding import Finding, Level, verdict

GB = 1e9
RAY_PORTS = {6379: "Ray's head", 8265: "Ray's dashboard"}


def compiler(path: str | None) -> Finding:
    """A C++ compiler: inductor and triton build kernels with it."""
    fix = "install g++ (Debian: build-essential), or set TORCHDYNAMO_DISABLE=1 on CPU"
    return verdict("C++ compiler", path is not None, path or "none", fix, otherwise=Level.WARN)


def gpus(names: Sequence[str], torch_version: str | None) -> Finding:
    """GPUs, and whether the installed torch can use them."""
    if not names:
        return Finding("GPUs", Level.OK, "none: training runs on the CPU")
    found = f"{len(names)} x {names[0]}"
    fix = "this torch is a CPU build: run `DEVICE=cuda make setup`, or set cluster.device=cpu"
    return verdict("GPUs", "+cpu" not in (torch_version or ""), found, fix, otherwise=Level.WARN)


def memory(total_bytes: float) -> Finding:
    """Memory that this process may use, the container's limit included."""
    fix = "the smoke run needs about 6 GB: give the machine or the container more memory"
    return verdict("memory", total_bytes >= 6 * GB, f"{total_bytes / GB:.1f} GB", fix, otherwise=Level.WARN)


def shared_memory(free_bytes: float | None) -> Finding:
    """/dev/shm holds Ray's object store, through which weights and rollouts travel."""
    if free_bytes is None:
        return Finding("/dev/shm", Level.WARN, "absent", "mount a tmpfs there; Ray falls back to the slower disk without it")
    fix = "give the container more: docker run --shm-size=8g, or an emptyDir with medium Memory"
    return verdict("/dev/shm", free_bytes >= 1 * GB, f"{free_bytes / GB:.1f} GB free", fix, otherwise=Level.WARN)


def disk(free_bytes: float, path: Path) -> Finding:
    """Room for checkpoints."""
    level = Level.FAIL if free_bytes < 1 * GB else Level.WARN
    return verdict(
        "disk",
        free_bytes >= 10 * GB,
        f"{free_bytes / GB:.0f} GB free at {path}",
        "free some, or set runs_dir to a larger disk",
        otherwise=level,
    )


def port(number: int, use: str, free: bool) -> Finding:
    """A port that `ray start --head` takes by default."""
    fix = "another Ray may run here: set RAY_ADDRESS to use it, or start yours with --port and --dashboard-port"
    return verdict(f"port {number} ({use})", free, "free" if free else "in use", fix, otherwise=Level.WARN)


def omp_threads(environment: Mapping[str, str], device: str) -> Finding:
    """On CPU, engines and ranks that all take every core slow each other down many times over."""
    value = environment.get("OMP_NUM_THREADS")
    fix = "export OMP_NUM_THREADS=1: every engine and rank takes all cores otherwise"
    return verdict("OMP_NUM_THREADS", device == "cuda" or value == "1", value or "unset", fix, otherwise=Level.WARN)


def hub(environment: Mapping[str, str]) -> Finding:
    """Whether the Hugging Face hub is switched off; both are fine, and both surprise when not known."""
    off = environment.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    told = "off (HF_HUB_OFFLINE): manifests with hub ids need a filled cache" if off else "on; without a network set HF_HUB_OFFLINE=1"
    return Finding("Hugging Face hub", Level.OK, told)


def read_gpus() -> list[str]:
    """Names of the GPUs that nvidia-smi lists."""
    smi = shutil.which("nvidia-smi")
    if smi is None:
        return []
    listed = subprocess.run([smi, "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, timeout=60, check=False)
    return [line.strip() for line in listed.stdout.splitlines() if line.strip()] if listed.returncode == 0 else []


def read_memory(meminfo: Path = Path("/proc/meminfo"), limit: Path = Path("/sys/fs/cgroup/memory.max")) -> float:
    """Bytes: the machine's memory or the control group's limit, whichever is less."""
    total = next(float(line.split()[1]) * 1024 for line in meminfo.read_text().splitlines() if line.startswith("MemTotal:"))
    text = limit.read_text().strip() if limit.exists() else "max"
    return total if text == "max" else min(total, float(text))


def read_port(number: int) -> bool:
    """Whether the port can be bound on this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            return False
    return True
