"""Where the runs of a study are carried out: each is a process of `ib-lpo train`, on this machine or as a Ray task.

Adding a place: a class with the protocol Workers in a file of its own, and its name in WORKERS.
"""

from collections.abc import Callable

from ib_lpo.study.config import StudyConfig
from ib_lpo.study.workers.base import Ended, Job, Workers
from ib_lpo.study.workers.local import LocalWorkers
from ib_lpo.study.workers.ray import RayWorkers

__all__ = ["Ended", "Job", "Workers", "open_workers"]

WORKERS: dict[str, Callable[[StudyConfig], Workers]] = {"local": LocalWorkers, "ray": RayWorkers}


def open_workers(study: StudyConfig) -> Workers:
    """Those that `workers` names: `ray`, or a number of processes on this machine."""
    return WORKERS[study.workers if isinstance(study.workers, str) else "local"](study)
