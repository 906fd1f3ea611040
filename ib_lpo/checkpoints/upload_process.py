"""The programme around one upload command: ends it, and all that it started in its process group, when the run is gone.

It leads a process group of its own. SIGTERM comes from the kernel when the run's process ends in any way, or from the run itself, and is
passed on; what is left of the group after _GRACE_S is killed. A process that the command moves to a session of its own escapes. Else the
exit code is the command's: 128 and the signal's number for one that a signal ended, 127 for one that cannot be started.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

from ib_lpo.parent import die_with

_GRACE_S = 3.0  # below that of upload.py


class _Told(BaseException):
    """SIGTERM."""


def main(parent: int, command: list[str]) -> int:
    """Run `command` for the process `parent`; returns the exit code."""
    signal.signal(signal.SIGTERM, _raise)
    running = None
    try:
        die_with(parent, signal.SIGTERM)
        running = subprocess.Popen(command)
        code = running.wait()
    except OSError as error:
        print(f"it could not be started ({error})", file=sys.stderr)
        return 127
    except _Told:
        _end(running)
    return code if code >= 0 else 128 - code


def _raise(*_: object) -> None:
    raise _Told


def _end(running: subprocess.Popen | None) -> None:
    """Of the whole group, this process included."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    if running is None:  # it is just being started
        time.sleep(_GRACE_S)
    else:
        with suppress(subprocess.TimeoutExpired):
            running.wait(_GRACE_S)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]), sys.argv[2:]))
