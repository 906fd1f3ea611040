"""Learner rank 0's end of a publish: one pass over the weights makes a parcel.

Every tensor is copied once, from where it was gathered to where the receivers read it, and cast on the way; its fingerprint is taken there,
of what is sent. Nobody is waited for. What is staged is bounded by `weights.staging_gb`, which is checked when the outbox is made.
"""

import time
from collections.abc import Iterable, Iterator
from functools import partial

import torch
from torch import Tensor

from ib_lpo.errors import UserError
from ib_lpo.weights.config import WeightsConfig
from ib_lpo.weights.fingerprint import fingerprint
from ib_lpo.weights.parcel import Parcel, plan
from ib_lpo.weights.place import Place, Route, available_bytes, here
from ib_lpo.weights.staging import VERSIONS_HELD, require_room
from ib_lpo.weights.transports import TRANSPORTS, Outlet


class Outbox:
    """Sends versions of one policy, at most `versions` of them held at a time. `shapes` are all its tensors, in the order in which `send`
    will get them."""

    def __init__(
        self,
        shapes: Iterable[tuple[str, tuple[int, ...]]],
        *,
        dtype: torch.dtype,
        config: WeightsConfig,
        device: str,
        versions: int = VERSIONS_HELD,
    ):
        """Raises UserError when they are more than `weights.staging_gb`."""
        self._config, self._device = config, device
        self._layout = plan(shapes, dtype, int(config.bucket_mb * 1e6))
        self._outlets: dict[str, Outlet] = {}  # by transport
        self._before: str | None = None  # the transport of the version sent last
        self._versions = versions
        require_room(self._layout.nbytes, versions, dtype, config)

    def send(self, version: int, tensors: Iterable[tuple[str, Tensor]], route: Route) -> Parcel:
        """Stage `version` for the receivers of `route`. Raises UserError when `weights.transport` cannot reach them.

        A tensor must hold until the next one is asked for, no longer.
        """
        began = time.monotonic()
        transport, counts = self._choose(route)
        if transport not in self._outlets:
            self._outlets[transport] = TRANSPORTS[transport].Outlet(self._config.deadline_s)
        fingerprints: dict[str, int] = {}
        fill = partial(self._fill, iter(tensors), fingerprints)
        content = self._outlets[transport].write(version, self._layout, route, fill)
        self._retire({transport, self._before})
        self._before = transport
        sizes = {"bytes": self._layout.nbytes, "buckets": len(self._layout.buckets), "tensors": len(fingerprints)}
        counts |= {f"publish/{name}": float(size) for name, size in sizes.items()}
        return Parcel(
            version=version,
            transport=transport,
            content=content,
            layout=self._layout,
            fingerprints=fingerprints,
            metrics=counts | {"publish/send_seconds": time.monotonic() - began},
        )

    def close(self) -> None:
        """Let go of all versions. Idempotent."""
        for outlet in self._outlets.values():
            outlet.close()
        self._outlets = {}

    def _retire(self, needed: set[str | None]) -> None:
        """Close the outlets whose versions nobody may ask for any more."""
        for name in self._outlets.keys() - needed:
            self._outlets.pop(name).close()

    def _fill(self, stream: Iterator[tuple[str, Tensor]], fingerprints: dict[str, int], index: int, bucket: Tensor) -> None:
        for spec in self._layout.buckets[index]:
            name, tensor = next(stream, ("nothing", torch.empty(0)))
            if (name, tuple(tensor.shape)) != (spec.name, spec.shape):
                raise ValueError(f"{name} {tuple(tensor.shape)} came where {spec.name} {spec.shape} was planned")
            sent = spec.view(bucket)
            sent.copy_(tensor.detach())
            fingerprints[name] = fingerprint(sent)

    def _choose(self, route: Route) -> tuple[str, dict[str, float]]:
        """The transport's name, and what is counted about the choice. Room is asked for once: after that it is taken."""
        sender = here(self._device)
        name = choose(self._config.transport, route, sender)
        needed = 0 if name in self._outlets else self._versions * self._layout.nbytes
        crowded = self._config.transport == "auto" and name == "shm" and needed > available_bytes()
        return "object" if crowded else name, {"publish/no_room": float(crowded)}


def choose(wanted: str, route: Route, sender: Place) -> str:
    """The transport that `weights.transport` = `wanted` stands for. Raises UserError, one line, when it cannot join these ends."""
    if wanted == "auto":
        inside = all((place.host, place.pid) == (sender.host, sender.pid) for place in route.places.values())
        return "object" if inside or route.elsewhere(sender) else "shm"
    reason = TRANSPORTS[wanted].refusal(route, sender)
    if reason is not None:
        raise UserError(f"weights.transport={wanted}: {reason}; `auto` takes what fits")
    return wanted
