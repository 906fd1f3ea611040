"""What travels in a publish: the layout of a version's bytes, the parcel that describes them, and the receipt that proves they arrived.

A parcel is small and picklable whatever the model's size: it says where the bytes are, never carries them between processes. Names are
those of the Hugging Face checkpoint; the maps of z begin with `maps.`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from ib_lpo.fleet.base import DataFailure, FleetError

ALIGNMENT = 64  # bytes; a tensor's place in its bucket


class TransferError(DataFailure):
    """A receiver cannot read a parcel, or has no place for it. Says which receiver, which version, and what to do.

    The receiver is fit: it goes on with the version that it serves.
    """


class NeverArrived(TransferError, FleetError):
    """A receiver could not read a parcel however often it tried. The same run may succeed where it goes on: --resume."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor inside a bucket."""

    name: str
    dtype: str  # torch name, e.g. "float32"
    shape: tuple[int, ...]
    offset: int  # bytes, in its bucket
    nbytes: int

    def view(self, bucket: Tensor) -> Tensor:
        """The tensor in place, `shape`, in a uint8 bucket that holds it."""
        return bucket[self.offset : self.offset + self.nbytes].view(getattr(torch, self.dtype)).view(self.shape)


@dataclass(frozen=True, slots=True)
class Layout:
    """Which tensor lies where: the same for every version of a policy. No tensor lies in two buckets."""

    buckets: tuple[tuple[TensorSpec, ...], ...]
    sizes: tuple[int, ...]  # bytes of each bucket

    @property
    def nbytes(self) -> int:
        return sum(self.sizes)

    def specs(self) -> Iterator[TensorSpec]:
        """Every tensor, in the order in which it was planned."""
        for bucket in self.buckets:
            yield from bucket

    def tensors(self, buckets: list[Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Name and tensor in place, for uint8 buckets [sizes[i]]."""
        for specs, bucket in zip(self.buckets, buckets, strict=True):
            for spec in specs:
                yield spec.name, spec.view(bucket)


def plan(shapes: Iterable[tuple[str, tuple[int, ...]]], dtype: torch.dtype, bucket_bytes: int) -> Layout:
    """Lay tensors of one type out, in order, in buckets of at most `bucket_bytes`; a larger tensor gets a bucket of its own."""
    buckets: list[list[TensorSpec]] = []
    sizes: list[int] = []
    kind = str(dtype).removeprefix("torch.")
    for name, shape in shapes:
        nbytes = int(torch.Size(shape).numel()) * dtype.itemsize
        room = -(-nbytes // ALIGNMENT) * ALIGNMENT
        if not buckets or sizes[-1] + room > bucket_bytes:
            buckets.append([])
            sizes.append(0)
        buckets[-1].append(TensorSpec(name, kind, tuple(shape), sizes[-1], nbytes))
        sizes[-1] += room
    return Layout(tuple(tuple(bucket) for bucket in buckets), tuple(sizes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One version of the policy, ready to be staged. It stays readable until the version after the next is sent, or its sender ends."""

    version: int
    transport: str  # name in weights.transports
    content: Any  # the transport's own description of where the bytes are
    layout: Layout
    fingerprints: dict[str, int]  # checkpoint name -> weights.fingerprint of what was sent
    metrics: dict[str, float] = field(default_factory=dict)  # `publish/...` of sending it

    @property
    def nbytes(self) -> int:
        return self.layout.nbytes

    @property
    def buckets(self) -> int:
        return len(self.layout.buckets)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a receiver holds after a commit, read back from its live parameters."""

    receiver: str
    version: int
    fingerprints: dict[str, int]  # checkpoint name -> weights.fingerprint of the parameter in use
    seconds: float = 0.0  # how long the commit kept it from its work


class Receiver(Protocol):
    """Anything that holds a copy of the policy: RolloutEngine, IBScorer."""

    def place(self) -> Any:
        """Its weights.place.Place."""
        ...

    def stage(self, parcel: Parcel) -> None:
        """Make sure that all of the parcel can be read here; the live weights stay as they are. Raises TransferError."""
        ...

    def commit(self, version: int) -> Receipt:
        """Load the staged version in place. When it raises, the receiver refuses to work from then on and is to be replaced."""
        ...
