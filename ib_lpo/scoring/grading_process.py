"""The programme of one grading process: reads items from a socket, answers one at a time, dies with its parent.

It is started as a fresh interpreter, so it holds neither torch nor the caller's `__main__`, unless a plugged-in reward imports them. It
dies when the parent does, however that ends: the kernel kills it (parent.py), and a closed socket ends its loop. It bounds its
own address space; math-verify swallows MemoryError as "not equal", so less than full reward reached while memory ran high is
UNVERIFIABLE.

A reward may fork. Whatever then comes out of it is not the grader: it has no socket, and ends where the reward returns, so it never answers
for anybody. Every reply carries the ticket of its request, so that an answer can belong to no other item.
"""

import logging
import os
import resource
import signal
import sys
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from ib_lpo.parent import die_with
from ib_lpo.scoring.grades import CORRECT, Cause, Grade, unverifiable
from ib_lpo.scoring.grading import Judge
from ib_lpo.scoring.rewards.find import RewardNotFound, load
from ib_lpo.tree import Verdict

READY, FAILED = b"ready", b"failed "
MAX_MESSAGE = 4096  # bytes of a message to the parent
_RECURSION_LIMIT = 20_000  # frames; what the bounds of answers/bounds.py let through stays far below
_STRAINED = 0.5  # share of the room above which a WRONG may be a swallowed MemoryError: allocations grow by doubling


def main(fd: int, parent: int, memory_mb: int, reward: str) -> None:
    """Serve until the socket closes. `reward`: package.module:attribute.

    First comes b"ready", or b"failed ..." and the end. A request is (ticket, "grade", response, gold) or (ticket, "gold", gold, ""), a
    reply is b"ticket verdict cause reward retire", with - for what is absent, and then the answer, if the reward names one.
    """
    die_with(parent, signal.SIGKILL)
    sys.setrecursionlimit(_RECURSION_LIMIT)
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    socket, grader = Connection(fd), os.getpid()
    os.register_at_fork(after_in_child=socket.close)
    try:
        judge = _judge(reward)
        _end_unless(grader)
    except RewardNotFound as error:
        _end_unless(grader)
        socket.send_bytes((FAILED + str(error).encode())[:MAX_MESSAGE])
        return
    except Exception as error:  # a plug-in's module may raise anything; the parent tells the user
        _end_unless(grader)
        traceback.print_exc()
        socket.send_bytes((FAILED + f"{reward}: importing it raised {error!r}; the traceback is on stderr".encode())[:MAX_MESSAGE])
        return
    room = Room(memory_mb << 20)
    socket.send_bytes(READY)
    try:
        while True:
            ticket, *request = socket.recv()
            (verdict, cause, value, answer), retire = _answer(request, judge, room)
            _end_unless(grader)
            fields = (ticket, verdict, cause or "-", "-" if value is None else repr(value), int(retire))
            named = [] if answer is None else [answer]
            socket.send_bytes(" ".join(map(str, [*fields, *named])).encode(errors="replace"))
    except (EOFError, ConnectionError):
        return


def _end_unless(grader: int) -> None:
    """End a process that a reward forked, as soon as it comes out of the reward."""
    if os.getpid() != grader:
        os._exit(0)


class Room:
    """The bytes of address space that grading may add to this process as it is now, enforced by the kernel."""

    def __init__(self, size: int) -> None:
        self._size, self._idle = size, _peak_bytes()
        resource.setrlimit(resource.RLIMIT_AS, (self._idle + size, self._idle + size))

    def share(self) -> float:
        """The largest share of the room ever taken, 0 to 1."""
        return (_peak_bytes() - self._idle) / self._size


def _judge(path: str) -> Judge:
    reward = load(path)
    warm_up = getattr(reward, "warm_up", None)
    if warm_up is not None:
        warm_up()
    return Judge(reward, path)


def _answer(request: Sequence[str], judge: Judge, room: Room) -> tuple[Grade, bool]:
    """The grade, and whether this process should be replaced because it has once held half of its room."""
    kind, first, second = request
    before = room.share()
    try:
        result = judge.grade(first, second) if kind == "grade" else CORRECT if judge.accepts(first) else unverifiable(Cause.BAD_GOLD)
    except MemoryError:
        return unverifiable(Cause.MEMORY), True
    share = room.share()
    if share > _STRAINED and share - before > _STRAINED / 2 and result.verdict is Verdict.WRONG:
        result = unverifiable(Cause.MEMORY)
    return result, share > _STRAINED


def _peak_bytes() -> int:
    """The largest address space this process ever had; 0 where the kernel does not tell."""
    status = Path("/proc/self/status")
    if sys.platform != "linux":
        return 0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmPeak:"))
    return int(line.split()[1]) << 10


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), sys.argv[4])
