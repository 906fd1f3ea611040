"""The verifier: grades responses in killable processes, each with a deadline and a memory bound.

Invariant: every item gets exactly one grade, in order, within deadline_s of being started; an item whose process overran, ran out
of memory or crashed is UNVERIFIABLE and counted, and that process is killed and replaced. A process that dies while idle costs no
item. No process outlives the verifier, even when its process is killed with SIGKILL.

On Linux the kernel ties a grading process to the *thread* that started it: keep one verifier on one thread.
"""

import time
from collections import Counter, deque
from collections.abc import Sequence
from multiprocessing.connection import wait

from ib_lpo.scoring.config import VerifierConfig
from ib_lpo.scoring.grades import Cause, Grade, unverifiable
from ib_lpo.scoring.grading_handle import GradingProcess, ProcessDied, Stillborn, VerifierError
from ib_lpo.scoring.rewards.find import locate_configured
from ib_lpo.tree import Verdict

Request = tuple[str, str, str]
MAX_ITEM_CHARS = 1 << 23  # of response and gold answer together; a response of 64k tokens has about 1 << 18
_ATTEMPTS = 2  # processes that may die while an item is handed to them
_STILLBORN = 2  # processes in a row that may end before they are ready


class Verifier:
    """The reward `config.reward` in `config.workers` processes. Run it as a worker of a fleet or in-process; not thread-safe.

    Raises RewardNotFound, on construction or from `ready`, when there is no such reward or its module cannot be imported.
    """

    def __init__(self, config: VerifierConfig) -> None:
        self._config = config
        self._reward = locate_configured(config)
        self._processes = [GradingProcess(config, self._reward) for _ in range(config.workers)]
        self._counts: Counter[str] = Counter()
        self._stillborn = 0  # in a row
        self._seconds = 0.0
        self._closed = False

    @property
    def pids(self) -> list[int]:
        """Process ids of the present grading processes."""
        return [process.pid for process in self._processes]

    def ready(self) -> None:
        """Return once every grading process can take an item. Raises Stillborn, VerifierError or RewardNotFound when one cannot."""
        while not all(process.ready for process in self._processes):
            self._collect([])

    def grade(self, items: list[tuple[str, str]]) -> list[Grade]:
        """Grades of (response text, gold answer) pairs, in order. Raises Stillborn or VerifierError when no process can be started."""
        grades = self._run([("grade", response, gold) for response, gold in items])
        self._counts.update(grade.cause or grade.verdict for grade in grades)
        return grades

    def check_gold(self, golds: Sequence[str]) -> list[int]:
        """Indices of gold answers that the reward does not accept, or not within the bounds. Equal ones are looked at once."""
        distinct = list(dict.fromkeys(golds))
        try:
            grades = self._run([("gold", gold, "") for gold in distinct])
        except Stillborn as error:  # told to the user: golds are checked before a run has workers
            raise VerifierError(str(error)) from None
        bad = {gold for gold, grade in zip(distinct, grades, strict=True) if grade.verdict is not Verdict.CORRECT}
        return [index for index, gold in enumerate(golds) if gold in bad]

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
        grades = [unverifiable(Cause.TOO_LONG) if sum(map(len, request)) > MAX_ITEM_CHARS else None for request in requests]
        queue = deque(index for index, grade in enumerate(grades) if grade is None)
        refusals: Counter[int] = Counter()
        while queue or any(process.ticket is not None for process in self._processes):
            self._submit(queue, requests, refusals, grades)
            self._collect(grades)
        self._seconds += time.monotonic() - begun
        return [grade for grade in grades if grade is not None]

    def _submit(self, queue: deque[int], requests: list[Request], refusals: Counter[int], grades: list[Grade | None]) -> None:
        """Give every idle process an item. One that kills processes while they read it is a crash; one refused by a dead process is not."""
        for slot, process in enumerate(self._processes):
            if not (queue and process.idle):
                continue
            ticket = queue[0]
            try:
                process.submit(ticket, requests[ticket])
                queue.popleft()
            except ProcessDied:
                self._replace(slot)
                refusals[ticket] += 1
                if refusals[ticket] == _ATTEMPTS:
                    grades[ticket] = unverifiable(Cause.CRASH)
                    queue.popleft()

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
        except Stillborn:
            self._stillborn += 1
            if self._stillborn > _STILLBORN:
                raise
            self._replace(slot)
            return
        except ProcessDied:
            grades[ticket] = unverifiable(Cause.CRASH)
            self._replace(slot)
            return
        self._stillborn = 0
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
        grades[process.ticket] = unverifiable(Cause.OVERRUN)
        self._replace(slot)

    def _replace(self, slot: int) -> None:
        self._counts["replaced"] += 1
        self._processes[slot].kill()
        self._processes[slot] = GradingProcess(self._config, self._reward)
