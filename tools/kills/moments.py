"""When to strike: any time, or aimed at what can be seen of a run from outside.

any         uniformly within WINDOW_S, a few steps of the tiny policy
publish     the learner has just written a version, which receivers stage and commit; a learner's rank also while it writes one
checkpoint  the hidden directory of a checkpoint is there
"""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from kills.life import Life
from kills.processes import versions_held, workers

WINDOW_S = 2.0
DELIVERY_S = 0.03  # that stage and commit take, about
MOMENTS = ("publish", "any", "checkpoint", "publish", "any")
"""Of the first kill, the second and so on, and then from the first again."""


def strike(kind: str, moment: str, rng: random.Random, life: Life, run_dir: Path, blow: Callable[[], None], seconds: float) -> bool:
    """Call `blow` at such a moment; False when there was none in that time."""
    if moment == "any":
        time.sleep(rng.uniform(0.0, WINDOW_S))
    elif moment == "checkpoint":
        if not _soon(lambda: any((run_dir / "checkpoints").glob(".step-*.partial")), life, seconds):
            return False
    elif not _publish(kind, rng, life, run_dir, seconds):
        return False
    blow()
    return True


def _publish(kind: str, rng: random.Random, life: Life, run_dir: Path, seconds: float) -> bool:
    first = next((pid for name, pid in workers(run_dir, "learner").items() if name.startswith("learner-0")), None)
    if first is None:
        return False
    newest = max(versions_held(first), default=-1)
    if kind == "learner" and rng.random() < 0.5:
        return _soon(lambda: -1 in versions_held(first), life, seconds)
    if not _soon(lambda: max(versions_held(first), default=-1) > newest, life, seconds):
        return False
    time.sleep(rng.uniform(0.0, DELIVERY_S))
    return True


def _soon(holds: Callable[[], bool], life: Life, seconds: float) -> bool:
    """As `Life.wait`, without a pause: what is looked for takes milliseconds."""
    end = time.monotonic() + seconds
    while life.alive and time.monotonic() < end:
        with suppress(OSError):  # what is looked at may be renamed meanwhile
            if holds():
                return True
        time.sleep(0.0002)
    return False
