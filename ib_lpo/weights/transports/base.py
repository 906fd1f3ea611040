"""What a transport is: an outlet on learner rank 0 and an inlet in every receiver.

Invariant: what an inlet returned stays as it is until the version after the next is written, so a parcel can be loaded, and staged again by
a newcomer, while the next one is under way. Nobody waits for anybody in `write`; an inlet waits for bytes, with a deadline.
"""

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

from ib_lpo.weights.parcel import Layout, Parcel
from ib_lpo.weights.place import Place, Route

Fill = Callable[[int, Tensor], None]  # writes bucket i into a uint8 tensor of its size, in order


class Outlet(Protocol):
    """The sender's end. Constructed with (deadline_s)."""

    def write(self, version: int, layout: Layout, route: Route, fill: Fill) -> Any:
        """Have every bucket filled, in order; returns the parcel's content."""
        ...

    def close(self) -> None:
        """Let go of everything. Idempotent."""
        ...


class Inlet(Protocol):
    """A receiver's end. Constructed with (receiver, deadline_s)."""

    def read(self, parcel: Parcel) -> list[Tensor]:
        """All buckets, uint8, readable from here without further waiting. Raises TransferError."""
        ...

    def intact(self, parcel: Parcel) -> bool:
        """Whether what `read` returned still is what was sent."""
        ...

    def close(self) -> None:
        """Let go of everything. Idempotent."""
        ...


class Transport(Protocol):
    """A module of this package."""

    Outlet: type
    Inlet: type

    @staticmethod
    def refusal(route: Route, sender: Place) -> str | None:
        """Why it cannot join this sender to these receivers, or None."""
        ...
