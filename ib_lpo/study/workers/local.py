"""Processes side by side on this machine."""

import subprocess
import time

from ib_lpo.study.config import StudyConfig
from ib_lpo.study.workers.base import Ended, Job
from ib_lpo.study.workers.process import end_process, interrupt, start_process

_LOOK_EVERY_S = 0.2
_GRACE_S = 60.0  # for a run to stop its own processes


class LocalWorkers:
    """As many as `workers` says."""

    def __init__(self, study: StudyConfig):
        self._most = int(study.workers)
        self._running: dict[str, subprocess.Popen] = {}

    @property
    def room(self) -> int:
        return self._most - len(self._running)

    def start(self, job: Job) -> None:
        self._running[job.name] = start_process(job)

    def wait(self) -> Ended:
        if not self._running:
            raise RuntimeError("no run is under way")
        while True:
            for name, process in self._running.items():
                if (code := process.poll()) is not None:
                    del self._running[name]
                    return Ended(name=name, code=code)
            time.sleep(_LOOK_EVERY_S)

    def stop(self) -> None:
        """All are told first, then waited for."""
        deadline = time.monotonic() + _GRACE_S
        for process in self._running.values():
            interrupt(process)
        for process in self._running.values():
            end_process(process, max(1.0, deadline - time.monotonic()))
        self._running.clear()
