"""Python's cyclic garbage collector where millions of objects live long, as rollout trees do while they grow.

By default every few hundred allocations start a collection, and full ones walk all that is alive: the driver's cost per trajectory then
grows with the number in flight. Almost nothing here is cyclic, so rare collections find as much.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_THRESHOLDS = 100_000, 50, 100  # allocations until the youngest is collected; collections of a generation until the next one is


@contextmanager
def rare_collections() -> Iterator[None]:
    """Collect rarely inside, as before afterwards."""
    before = gc.get_threshold()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
