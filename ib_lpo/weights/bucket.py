"""Buckets: how tensors travel from the learner to whoever holds a copy of the policy.

A bucket is a flat byte buffer plus the specs of the tensors in it, so that a model of hundreds of parameters crosses a process
boundary in a few messages. Names are those of the Hugging Face checkpoint; the maps of z begin with `maps.`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor inside a bucket."""

    name: str
    dtype: str  # torch name, e.g. "float32"
    shape: tuple[int, ...]
    offset: int  # bytes
    nbytes: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """`payload` is a uint8 array; Ray ships it without copying through pickle."""

    specs: tuple[TensorSpec, ...]
    payload: np.ndarray


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a receiver holds after a publish, read back from its live parameters."""

    receiver: str
    version: int
    fingerprints: dict[str, int]  # checkpoint name -> weights.fingerprint of the parameter in use


class Receiver(Protocol):
    """Anything that holds a copy of the policy: RolloutEngine, IBScorer."""

    def begin_update(self, version: int) -> None: ...

    def load_bucket(self, bucket: Bucket) -> None: ...

    def finish_update(self) -> Receipt: ...


def pack(tensors: Iterable[tuple[str, Tensor]], bucket_bytes: int) -> Iterator[Bucket]:
    """Group tensors, in order, into buckets of at most `bucket_bytes`; a larger tensor gets a bucket of its own."""
    held: list[tuple[str, Tensor]] = []
    size = 0
    for name, tensor in tensors:
        nbytes = tensor.numel() * tensor.element_size()
        if held and size + nbytes > bucket_bytes:
            yield _seal(held, size)
            held, size = [], 0
        held.append((name, tensor.detach()))
        size += nbytes
    if held:
        yield _seal(held, size)


def _seal(tensors: list[tuple[str, Tensor]], size: int) -> Bucket:
    payload = np.empty(size, dtype=np.uint8)
    specs, offset = [], 0
    for name, tensor in tensors:
        raw = tensor.contiguous().cpu().view(-1).view(torch.uint8).numpy()
        payload[offset : offset + raw.size] = raw
        specs.append(TensorSpec(name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), offset, raw.size))
        offset += raw.size
    return Bucket(tuple(specs), payload)


def unpack(bucket: Bucket) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a bucket, as CPU tensors that own their memory."""
    for spec in bucket.specs:
        tensor = torch.empty(spec.shape, dtype=getattr(torch, spec.dtype))
        if spec.nbytes:
            raw = bucket.payload[spec.offset : spec.offset + spec.nbytes]
            tensor.view(-1).view(torch.uint8).numpy()[:] = raw
        yield spec.name, tensor
