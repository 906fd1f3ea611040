"""The verifier: grades responses in killable processes, each with a deadline and a memory bound.

Invariant: every item gets exactly one verdict, in order, within deadline_s of being started; an item whose process overran, ran out
of memory or crashed is UNVERIFIABLE and counted, and that process is killed and replaced. A process that dies while idle costs no
item. No process outlives the verifier, even when its process is killed with SIGKILL.

On Linux the kernel ties a grading process to the *thread* that started it: keep one verifier on one thread.
"""

import time
from collections import Counter, deque
from collections.abc import Sequence
from multiprocessing.connection import wait

from ib_lpo.scoring.answer_text import TAIL_CHARS
from ib_lpo.scoring.config import VerifierConfig
from ib_lpo.scoring.grading import MAX_ANSWER_CHARS, Cause, Grade
from ib_lpo.scoring.grading_handle import GradingProcess, ProcessDied, VerifierError
from ib_lpo.tree import Verdict

Request = tuple[str, str, str]


class Verifier:
    """Math-verify in `config.workers` processes. Run it as a worker of a fleet or in-process; not thread-safe."""

    def __init__(self, config: VerifierConfig) -> None:
        self._config = config
        self._processes = [GradingProcess(config) for _ in range(config.workers)]
        self._counts: Counter[str] = Counter()
        self._seconds = 0.0
        self._closed = False

    @property
    def pids(self) -> list[int]:
        """Process ids of the present grading processes."""
        return [process.pid for process in self._processes]

    def ready(self) -> None:
        """Return once every grading process can take an item. Raises VerifierError when one cannot."""
        while not all(process.ready for process in self._processes):
            self._collect([])

    def grade(self, items: list[tuple[str, str]]) -> list[Verdict]:
        """Verdicts of (response text, gold answer) pairs, in order. Raises VerifierError when no process can be started."""
        grades = self._run([("grade", response[-TAIL_CHARS:], gold[: MAX_ANSWER_CHARS * 4]) for response, gold in items])
        self._counts.update(grade.cause or grade.verdict for grade in grades)
        return [grade.verdict for grade in grades]

    def check_gold(self, golds: Sequence[str]) -> list[int]:
        """Indices of gold answers about which no response can be found wrong: they do not parse, or not within the bounds."""
        grades = self._run([("gold", gold[: MAX_ANSWER_CHARS * 4], "") for gold in golds])
        return [index for index, grade in enumerate(grades) if grade.verdict is not Verdict.CORRECT]

    def stats(self) -> dict[str, float]:
        """Counts since the start: items by verdict, unverifiable items by cause, replaced processes; and seconds spent grading."""
        names = [verdict for verdict in Verdict if verdict is not Verdict.UNVERIFIABLE] + list(Cause) + ["replaced"]
        return {f"verifier/{name}": float(self._counts[name]) for name in names} | {"verifier/seconds": self._seconds}

    def close(self) -> None:
        """Kill every grading process. Idempotent."""
        self._closed = True
        for process in self._processes:
            process.kill()
        self._processes = []

    def _run(self, requests: list[Request]) -> list[Grade]:
        if self._closed:
            raise VerifierError("the verifier is closed; make a new one")
        begun = time.monotonic()
        for slot, process in enumerate(self._processes):
            if process.ticket is not None:  # left over from a call that raised
                self._replace(slot)
        grades: list[Grade | None] = [None] * len(requests)
        queue = deque(range(len(requests)))
        while queue or any(process.ticket is not None for process in self._processes):
            self._submit(queue, requests)
            self._collect(grades)
        self._seconds += time.monotonic() - begun
        return [grade for grade in grades if grade is not None]

    def _submit(self, queue: deque[int], requests: list[Request]) -> None:
        for slot, process in enumerate(self._processes):
            if not (queue and process.idle):
                continue
            try:
                process.submit(queue[0], requests[queue[0]])
                queue.popleft()
            except ProcessDied:
                self._replace(slot)

    def _collect(self, grades: list[Grade | None]) -> None:
        """Wait for the next message or the next deadline, and settle what it concerns."""
        due = [process.due for process in self._processes if process.due is not None]
        if not due:
            return
        active = [process.connection for process in self._processes if process.due is not None]
        readable = set(wait(active, timeout=max(0.0, min(due) - time.monotonic())))
        for slot, process in enumerate(self._processes):
            if process.connection in readable:
                self._settle(slot, grades)
            elif process.due is not None and process.due <= time.monotonic():
                self._overrun(slot, grades)

    def _settle(self, slot: int, grades: list[Grade | None]) -> None:
        process, ticket = self._processes[slot], self._processes[slot].ticket
        try:
            reply = process.collect()
        except ProcessDied:
            grades[ticket] = Grade(Verdict.UNVERIFIABLE, Cause.CRASH)
            self._replace(slot)
            return
        if reply is not None:
            grades[ticket] = reply.grade
            if reply.retire:
                self._replace(slot)

    def _overrun(self, slot: int, grades: list[Grade | None]) -> None:
        process = self._processes[slot]
        if not process.ready:
            raise VerifierError(
                f"grading process {process.pid} was not ready after {self._config.start_deadline_s:.0f} s; "
                "raise verifier.start_deadline_s or lower verifier.workers"
            )
        grades[process.ticket] = Grade(Verdict.UNVERIFIABLE, Cause.OVERRUN)
        self._replace(slot)

    def _replace(self, slot: int) -> None:
        self._counts["replaced"] += 1
        self._processes[slot].kill()
        self._processes[slot] = GradingProcess(self._config)
