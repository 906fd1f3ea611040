"""Runs as Ray tasks, one per run: the cluster deals them to its machines, which must share the study's directories.

A task starts the same process as `local.py` does. When the study ends its tasks are cancelled, their workers die, and
the runs with them.
"""

import os
from pathlib import Path
from typing import Any

from ib_lpo.study.config import StudyConfig
from ib_lpo.study.workers.base import Ended, Job
from ib_lpo.study.workers.process import end_process, interrupt, start_process

_OF_THE_TASK = ("CUDA_VISIBLE_DEVICES",)  # what Ray gives the task; the rest of the environment is the study's
_GRACE_S = 60.0


class RayWorkers:
    """Of the cluster that RAY_ADDRESS names; without it, of a private Ray on this machine."""

    def __init__(self, study: StudyConfig):
        import ray

        from ib_lpo.fleet.private_ray import start_private_ray

        self._ray = ray
        self._environment = dict(os.environ)
        self._own = not ray.is_initialized()
        if self._own and os.environ.get("RAY_ADDRESS"):
            ray.init(address=os.environ["RAY_ADDRESS"], log_to_driver=False, logging_level="ERROR")
        elif self._own:
            start_private_ray(None)
        self._task = ray.remote(num_cpus=study.run_cpus, num_gpus=study.run_gpus, max_retries=0)(_carry_out)
        self._run_cpus = study.run_cpus
        self._running: dict[Any, str] = {}

    @property
    def room(self) -> int:
        """What the cluster's CPUs hold; at least one at a time, which waits in Ray until there is a place for it."""
        cpus = self._ray.cluster_resources().get("CPU", 0.0)
        return max(1, int(cpus / self._run_cpus)) - len(self._running)

    def start(self, job: Job) -> None:
        here = str(Path.cwd())
        self._running[self._task.remote(job, here, self._environment)] = job.name

    def wait(self) -> Ended:
        if not self._running:
            raise RuntimeError("no run is under way")
        (done, *_), _ = self._ray.wait(list(self._running), num_returns=1)
        name = self._running.pop(done)
        try:
            return Ended(name=name, code=self._ray.get(done))
        except self._ray.exceptions.RayError as error:
            return Ended(name=name, code=1, why=f"its Ray task failed: {error}")

    def stop(self) -> None:
        for task in self._running:
            self._ray.cancel(task, force=True)
        self._running.clear()
        if self._own:
            self._ray.shutdown()


def _carry_out(job: Job, directory: str, environment: dict[str, str]) -> int:
    """In the task: the exit status of the run."""
    os.chdir(directory)
    given = {name: os.environ[name] for name in _OF_THE_TASK if name in os.environ}
    process = start_process(job, environment | given)
    try:
        return process.wait()
    finally:
        interrupt(process)
        end_process(process, _GRACE_S)
