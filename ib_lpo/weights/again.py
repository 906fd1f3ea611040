"""Waiting for receivers that are to read a parcel, and asking those again that could not.

A broadcast breaks for everybody when one of its receivers dies; whoever tries again then gets it alone.
"""

from collections.abc import Callable, Sequence
from typing import Any

from ib_lpo.fleet.base import Pending
from ib_lpo.fleet.loop import EventLoop
from ib_lpo.weights.parcel import NeverArrived, TransferError

TRIES = 4

Call = Callable[[], Pending]


def persist(loop: EventLoop, calls: Sequence[Call], what: str, refused: Callable[[], None] = lambda: None) -> list[Any]:
    """The values of all calls, which run at once; one that raised TransferError is made again. `refused` is asked before that, and may
    raise something better. Raises NeverArrived after TRIES, and what else a call raises."""
    pending = [call() for call in calls]
    try:
        return loop.gather(pending, what)
    except TransferError:  # of one of them; the others may still be under way
        return [_persist(loop, one, call, what, refused) for one, call in zip(pending, calls, strict=True)]


def _persist(loop: EventLoop, pending: Pending, call: Call, what: str, refused: Callable[[], None]) -> Any:
    tried = 1
    while True:
        try:
            return loop.gather([pending], what)[0]
        except TransferError as error:
            refused()
            if tried == TRIES:
                raise NeverArrived(f"{error} (tried {TRIES} times)") from None
        pending, tried = call(), tried + 1
