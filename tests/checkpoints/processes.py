"""Real ZeRO-3 ranks without Ray: groups of processes that run functions of (rank, world, ...) together."""

import multiprocessing
import os
import traceback
from collections.abc import Callable
from typing import Any

from ib_lpo.learner.zero import free_endpoint

DEADLINE_S = 60


class Groups:
    """A group of each size that is asked for. A server imports once what all ranks need, and they are forked from it."""

    def __init__(self) -> None:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["deepspeed", "tests.checkpoints.odd", "tests.checkpoints.training"])
        self._groups: dict[int, list[Any]] = {}

    def run(self, world: int, function: Callable[..., Any], *args: Any) -> list[Any]:
        """`function(rank, world, *args)` on all ranks of the group of this size; their results in order. Raises what a rank raised."""
        if world not in self._groups:
            endpoint = free_endpoint()
            self._groups[world] = [self._start(*endpoint, rank, world) for rank in range(world)]
        pipes = [pipe for _, pipe in self._groups[world]]
        for rank, pipe in enumerate(pipes):
            pipe.send((function, (rank, world, *args)))
        found = []
        for rank, pipe in enumerate(pipes):
            assert pipe.poll(DEADLINE_S), f"no answer of rank {rank} of {world} in {DEADLINE_S} s"
            found.append(pipe.recv())
        for error in (value for good, value in found if not good):
            raise error
        return [value for _, value in found]

    def _start(self, *place: Any) -> tuple[Any, Any]:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(there, *place), daemon=True)
        process.start()
        there.close()
        return process, here

    def close(self) -> None:
        for process, pipe in (member for group in self._groups.values() for member in group):
            pipe.close()
            process.join(5)
            process.kill()


def _serve(pipe: Any, host: str, port: int, rank: int, world: int) -> None:
    from ib_lpo.learner import zero

    zero.join_group(host, port, rank=rank, world=world, deadline_s=30)
    while True:
        try:
            function, args = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((True, function(*args)))
        except Exception as error:
            error.add_note(traceback.format_exc())
            pipe.send((False, error))
