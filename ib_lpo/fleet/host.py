"""What a worker's process holds: the plain object, and the classification of everything that goes wrong with it.

Invariant: whatever the object raises leaves the process as one of the types of `fleet/base.py`. What the user can mend and what is wrong
with the data pass as they are, and the object goes on. Anything else (out of memory, a bug, a broken device) makes the worker unfit: nobody
knows what state it is in, so this call and every later one raise WorkerDied. A failed construction is raised by every call.
"""

import traceback
from pathlib import Path
from typing import Any

from ib_lpo.errors import UserError
from ib_lpo.fleet.base import WorkerDied
from ib_lpo.fleet.log import StderrFile, tail
from ib_lpo.redaction import redact

_TRACEBACK_LINES = 8


class Host:
    """Makes `cls(*args)` and calls its methods, one at a time."""

    def __init__(self, name: str, log: Path | None, cls: type, *args: Any):
        """`log`: the file that this process's stderr goes to; None: it stays as it is."""
        self._name = name
        self._log: StderrFile | None = None
        self._failure: UserError | None = None
        self._target: Any = None
        try:
            self._log = None if log is None else StderrFile(log)
            self._target = cls(*args)
        except Exception as error:  # whatever it is, its class is told by the first call
            self._failure = self._classified(error, "start")

    def __repr__(self) -> str:
        return self._name

    @property
    def target(self) -> Any:
        """The object; None when it could not be made."""
        return self._target

    def invoke(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """`target.method(*args, **kwargs)`. Raises UserError, DataFailure or WorkerDied, and nothing else."""
        if self._failure is not None:
            raise self._failure
        try:
            return getattr(self._target, method)(*args, **kwargs)
        except UserError:
            raise
        except Exception as error:
            self._failure = self._classified(error, method)
            raise self._failure from error
        finally:
            if self._log is not None:
                self._log.tidy()

    def _classified(self, error: Exception, doing: str) -> UserError:
        if isinstance(error, UserError):
            return error
        lines = redact("".join(traceback.format_exception(error))).rstrip().splitlines()
        raised = " ".join(redact(f"{type(error).__name__}: {error}").split())
        shown = "".join(f"\n  {line}" for line in lines[-_TRACEBACK_LINES:])
        stderr = tail(None if self._log is None else self._log.path)
        return WorkerDied(f"{self._name}.{doing}: the worker is unfit: {raised}{shown}{stderr}", self._name)
