"""Runs what is left of a study. Whenever it is killed, its runs die with it, and the same command goes on where it was.

Invariant: a result is written only of a run whose record holds its last step, so a run counts once. A failed run is
tried again by the next call.
"""

import fcntl
import json
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ib_lpo.errors import UserError
from ib_lpo.manifest import dump
from ib_lpo.progress import say
from ib_lpo.study.config import StudyConfig
from ib_lpo.study.failures import Failure, keep_failure
from ib_lpo.study.layout import Layout
from ib_lpo.study.plan import PlannedRun
from ib_lpo.study.record import Result, boil_down, write_result
from ib_lpo.study.state import State, standings
from ib_lpo.study.workers import Ended, Job, Workers, open_workers
from ib_lpo.tracking import replace_text


def run_study(study: StudyConfig, runs: Sequence[PlannedRun]) -> list[Failure]:
    """Run what is not done, and return what failed. Raises UserError for what was made with other settings, before any
    run starts."""
    layout = Layout(study)
    with _alone(layout):
        found = standings(runs, layout)
        for one in found:
            if one.state is State.TRAINED:
                _keep(one.run, study)
        left = [one.run for one in found if one.state in (State.BEGUN, State.LEFT)]
        say(f"study {study.name}: {len(runs)} runs, {len(runs) - len(left)} of them done, {len(left)} to run, workers={study.workers}")
        return _Running(study, left).to_the_end() if left else []


class _Running:
    """The runs that are left, and those under way."""

    def __init__(self, study: StudyConfig, left: Sequence[PlannedRun]):
        self._study, self._layout = study, Layout(study)
        self._left, self._all = deque(left), len(left)
        self._under_way: dict[str, PlannedRun] = {}
        self._failures: list[Failure] = []
        self._ended = 0

    def to_the_end(self) -> list[Failure]:
        workers = open_workers(self._study)
        try:
            while self._left or self._under_way:
                while self._left and workers.room > 0:
                    self._start(workers, self._left.popleft())
                self._end(workers.wait())
        finally:
            workers.stop()
        return self._failures

    def _start(self, workers: Workers, run: PlannedRun) -> None:
        layout = self._layout
        self._under_way[run.name] = run
        layout.failure(run).unlink(missing_ok=True)
        replace_text(layout.manifest(run), dump(run.manifest))
        workers.start(
            Job(
                name=run.name,
                manifest=layout.manifest(run),
                log=layout.log(run),
                machine=layout.machine(run),
                device=run.manifest.cluster.device,
            )
        )
        say(f"{run.name} started; its output: {layout.log(run)}")

    def _end(self, ended: Ended) -> None:
        run = self._under_way.pop(ended.name)
        self._ended += 1
        where = f"[{self._ended}/{self._all}]"
        code, why = ended.code, ended.why
        if code == 0:
            try:
                result = _keep(run, self._study)
                say(f"{where} {run.name}: held-out accuracy {_accuracy(result)}, {result.tokens:,} tokens, {result.seconds:.0f} s")
                return
            except UserError as error:
                why = str(error)
        failure = keep_failure(run, self._layout, code, why)
        self._failures.append(failure)
        say("\n  ".join([f"{where} FAILED {failure.told}; its last lines:", *failure.lines]))


def _keep(run: PlannedRun, study: StudyConfig) -> Result:
    """Boil a run down. Raises UserError for a record that cannot be read."""
    layout = Layout(study)
    try:
        machine = json.loads(layout.machine(run).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{layout.machine(run)}: is not there, so nobody knows where {run.name} ran; delete its run directory") from None
    result = boil_down(run, machine, study.workers)
    write_result(layout.result(run), result)
    return result


def _accuracy(result: Result) -> str:
    values = [point["held_out/accuracy"] for point in result.curve]
    return f"{values[0]:.3f} -> {values[-1]:.3f}" if values else "not measured"


@contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    """Two processes would write the same run directories. Raises UserError when another one is at it, or the folder
    cannot be written."""
    try:
        layout.lock.parent.mkdir(parents=True, exist_ok=True)
        file = layout.lock.open("w")
    except OSError as error:
        raise UserError(f"runs_dir={layout.study.parent}: cannot be written ({error.strerror}); set runs_dir=<a folder of yours>") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{layout.study.parent}: another process runs this study; wait for it, or stop it") from None
        yield
