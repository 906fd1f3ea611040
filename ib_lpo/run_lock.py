"""One process at a time on a run directory.

    runs/.<name>.lock   JSON: host, pid, start time of the process; beside the directory, which may be set aside meanwhile

The operating system's lock on the file is what counts: it ends with its process, however that ends. Where a file system has none, or does
not carry it between machines, the content decides: a process of this host is looked up by pid and start time, and one of another host
holds the lock as long as it renews the file's time of change. Both are seen from what is there now, so a lock that is left over is no
obstacle.
"""

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ib_lpo.errors import UserError
from ib_lpo.progress import say

BEAT_S = 20.0  # seconds between two renewals
SILENT_S = 120.0  # seconds without one after which a holder on another host is taken to be gone


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the lock of a run directory, which need not exist. Raises UserError, naming the holder, when another process has it."""
    path = directory.with_name(f".{directory.name}.lock")
    made = not path.parent.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _taken(path, directory)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); set runs_dir=<a folder of yours>") from None
    over = threading.Event()
    beat = threading.Thread(target=_renew, args=(descriptor, over), daemon=True, name="run-lock")
    beat.start()
    try:
        yield
    finally:
        over.set()
        beat.join()
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)
        if made:
            with suppress(OSError):  # something lies there now
                path.parent.rmdir()


def _taken(path: Path, directory: Path) -> int:
    """The open file, locked, with this process's name in it. Raises UserError and OSError."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not _lock(descriptor):
                raise _refusal(path, directory, _read(path))
            if not _is_at(descriptor, path):  # its last holder removed it between our opening and locking it
                os.close(descriptor)
                continue
            known = _read(path)
            if known and _lives(known, path):
                raise _refusal(path, directory, known)
            if known:
                say(f"{path}: its process ({known.get('host')}, pid {known.get('pid')}) is gone, so its lock is taken over")
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(_myself()).encode(), 0)
            return descriptor
        except BaseException:
            with suppress(OSError):
                os.close(descriptor)
            raise


def _lock(descriptor: int) -> bool:
    """Whether it is ours now; also where the file system has no locks, and the content alone decides."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # ENOLCK, ENOSYS, EOPNOTSUPP: no locks here
        return True
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _lives(holder: Mapping[str, Any], path: Path) -> bool:
    """Whether the process that wrote a lock may still be there, by what it wrote."""
    if holder.get("host") == socket.gethostname():
        pid = holder.get("pid")
        return isinstance(pid, int) and pid != os.getpid() and holder.get("started") == _started(pid) is not None
    return _is_renewed(path, holder)


def _is_renewed(path: Path, holder: Mapping[str, Any]) -> bool:
    """Whether a holder on another host is heard of before SILENT_S are over: a job that goes on elsewhere after its machine was lost comes
    sooner than that."""
    left, before = SILENT_S - _age(path), path.stat().st_mtime_ns
    if left > 0:
        say(f"{path}: held by process {holder.get('pid')} on {holder.get('host')}; looking for {left:.0f} s whether that is still there")
    ends = time.monotonic() + left
    while time.monotonic() < ends:
        if path.stat().st_mtime_ns != before:
            return True
        time.sleep(min(1.0, SILENT_S / 10))
    return False


def _age(path: Path) -> float:
    """Seconds since the last renewal, by the clock of the file system: another machine's may differ from ours."""
    probe = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _renew(descriptor: int, over: threading.Event) -> None:
    while not over.wait(BEAT_S):
        with suppress(OSError):  # a file system that is away for a while
            os.utime(descriptor)


def _myself() -> dict[str, Any]:
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "started": _started(pid), "since": time.strftime("%Y-%m-%d %H:%M:%S")}


def _started(pid: int) -> str | None:
    """When a process of this host started, which with its pid names it for good: the machine's boot and clock ticks since; None: it is
    gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return None if fields[0] in "ZX" else f"{boot}+{fields[19]}"


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):  # empty, or being written
        return {}
    return found if isinstance(found, dict) else {}


def _refusal(path: Path, directory: Path, holder: Mapping[str, Any]) -> UserError:
    who = f"process {holder.get('pid')} on {holder.get('host')}, since {holder.get('since')}" if holder else "another process"
    return UserError(f"{directory}: is in use by {who} ({path}); wait for it to end, stop it, or choose another name=")
