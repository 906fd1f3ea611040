"""A process that does not outlive the one that started it, however that ends: the kernel sends it a signal (PR_SET_PDEATHSIG, Linux).

The kernel takes the *thread* that started the process for its parent: start such processes from one that lives as long as its process.
"""

import ctypes
import os
import sys
from signal import Signals

_PR_SET_PDEATHSIG = 1


def die_with(parent: int, number: Signals) -> None:
    """Have this process sent `number` as soon as `parent`, which started it, is gone; SystemExit when it is already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # it died before the request took effect
        raise SystemExit("the process that started this one is gone")
