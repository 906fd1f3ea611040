"""The programme of one grading process: reads items from a socket, answers one at a time, dies with its parent.

It is started as a fresh interpreter, so it holds neither torch nor the caller's `__main__`. It dies when the parent does, however
that ends: the kernel kills it (PR_SET_PDEATHSIG), and a closed socket ends its loop. It bounds its own address space; math-verify
swallows MemoryError as "not equal", so a WRONG reached while memory ran high is reported as UNVERIFIABLE.
"""

import ctypes
import logging
import os
import resource
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from ib_lpo.scoring import grading
from ib_lpo.scoring.grading import Cause, Grade
from ib_lpo.tree import Verdict

READY = b"ready"
_PR_SET_PDEATHSIG = 1
_RECURSION_LIMIT = 20_000  # frames; MAX_DEPTH nested brackets of the parser stay far below
_STRAINED = 0.5  # share of the room above which a WRONG may be a swallowed MemoryError: allocations grow by doubling
_WARM_UP = (r"\boxed{\frac{1}{2}}", r"\boxed{x^2 + \sqrt{3}}", r"\boxed{(1, 2)}", r"\boxed{2\pi}")


def main(fd: int, parent: int, memory_mb: int) -> None:
    """Serve until the socket closes. A request is ("grade", response, gold) or ("gold", gold, ""); a reply is b"verdict cause retire"."""
    _die_with(parent)
    sys.setrecursionlimit(_RECURSION_LIMIT)
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for response in _WARM_UP:
        grading.grade(response, r"\frac{7}{x}")
    room = Room(memory_mb << 20)
    socket = Connection(fd)
    socket.send_bytes(READY)
    try:
        while True:
            result, retire = _answer(socket.recv(), room)
            socket.send_bytes(f"{result.verdict} {result.cause or '-'} {int(retire)}".encode())
    except (EOFError, ConnectionError):
        return


class Room:
    """The bytes of address space that grading may add to this process as it is now, enforced by the kernel."""

    def __init__(self, size: int) -> None:
        self._size, self._idle = size, _peak_bytes()
        resource.setrlimit(resource.RLIMIT_AS, (self._idle + size, self._idle + size))

    def share(self) -> float:
        """The largest share of the room ever taken, 0 to 1."""
        return (_peak_bytes() - self._idle) / self._size


def _answer(request: tuple[str, str, str], room: Room) -> tuple[Grade, bool]:
    """The grade, and whether this process should be replaced because it has once held half of its room."""
    kind, first, second = request
    before = room.share()
    try:
        if kind == "gold":
            result = grading.CORRECT if grading.gold_is_verifiable(first) else Grade(Verdict.UNVERIFIABLE, Cause.BAD_GOLD)
        else:
            result = grading.grade(first, second)
    except MemoryError:
        return Grade(Verdict.UNVERIFIABLE, Cause.MEMORY), True
    share = room.share()
    if share > _STRAINED and share - before > _STRAINED / 2 and result == grading.WRONG:
        result = Grade(Verdict.UNVERIFIABLE, Cause.MEMORY)
    return result, share > _STRAINED


def _peak_bytes() -> int:
    """The largest address space this process ever had; 0 where the kernel does not tell."""
    status = Path("/proc/self/status")
    if sys.platform != "linux":
        return 0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmPeak:"))
    return int(line.split()[1]) << 10


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the request took effect
        raise SystemExit("the verifier that started this grading process is gone")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
