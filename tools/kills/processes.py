"""Which process is which, seen from outside: a worker's stderr is `<run>/logs/<worker>.err`, and that is how it is found."""

import mmap
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

WORKERS = {"engine": r"engine-\d+", "scorer": r"scorer-\d+", "verifier": "verifier", "sampler": "latent-sampler", "learner": r"learner-\d+"}
"""Names of a kind's workers; a replacement's has a number behind it: engine-0, then engine-0.1."""
_SEGMENT = "/memfd:ib-lpo-weights"


def workers(run_dir: Path, kind: str) -> dict[str, int]:
    """Process id of every worker of a kind that is alive and not stopped, by name."""
    pattern, logs = re.compile(rf"({WORKERS[kind]}(?:\.\d+)?)\.err"), f"{(run_dir / 'logs').resolve()}/"
    found = {}
    for process in psutil.process_iter():
        stderr = _stderr(process.pid)
        if not stderr.startswith(logs) or (match := pattern.fullmatch(stderr.removeprefix(logs))) is None:
            continue
        with suppress(psutil.NoSuchProcess):
            if (
                process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_STOPPED) and _stderr(process.ppid()) != stderr
            ):  # its children inherit the file
                found[match[1]] = process.pid
    return found


def graders(verifier: int) -> list[int]:
    """Process ids of the verifier's grading processes."""
    try:
        return [child.pid for child in psutil.Process(verifier).children() if child.status() != psutil.STATUS_ZOMBIE]
    except psutil.NoSuchProcess:
        return []


def versions_held(rank: int) -> list[int]:
    """The versions in the shared memory of learner rank 0, by its process id; -1 stands for one that is being written."""
    versions = []
    with suppress(OSError):
        for entry in os.scandir(f"/proc/{rank}/fd"):
            with suppress(OSError, ValueError):  # gone meanwhile, or empty as yet
                if os.readlink(entry.path).startswith(_SEGMENT):
                    versions.append(_first_number(entry.path))
    return versions


def abandoned(before: set[str]) -> list[str]:
    """Files in /dev/shm that are not in `before` and that no living process maps or holds open."""
    new = {entry.path for entry in os.scandir("/dev/shm")} - before
    return sorted(new - set(_used())) if new else []


def _used() -> Iterator[str]:
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            yield from (file.path for file in process.memory_maps())
            yield from (file.path for file in process.open_files())


def _stderr(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/fd/2")
    except OSError:
        return ""


def _first_number(path: str) -> int:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with mmap.mmap(descriptor, mmap.PAGESIZE, access=mmap.ACCESS_READ) as memory:
            return int.from_bytes(memory[:8], "little", signed=True)
    finally:
        os.close(descriptor)
