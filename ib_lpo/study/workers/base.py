"""What carries out the runs of a study."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A run to carry out."""

    name: str
    manifest: Path  # YAML, resolved
    log: Path  # for all that it prints
    machine: Path  # for where it ran: JSON
    device: str  # cluster.device


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run that ended, well or not."""

    name: str
    code: int  # exit status; negative: the signal that ended it
    why: str = ""  # what its log does not say


class Workers(Protocol):
    """Runs jobs. The caller starts no more of them than there is `room` for."""

    @property
    def room(self) -> int:
        """Jobs that may be started now."""
        ...

    def start(self, job: Job) -> None:
        """Start a job."""
        ...

    def wait(self) -> Ended:
        """The next job that ends. Raises RuntimeError when none is under way."""
        ...

    def stop(self) -> None:
        """End what is under way, and wait for it. Idempotent."""
        ...
