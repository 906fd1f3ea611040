"""A receiver's end of a publish: the staged version, if any.

Invariant: until a commit, nothing that is live changes. What was staged is checked against the receiver's own tensors, name by name, before
it counts; and once it is loaded, `confirm` says that it was not overwritten meanwhile.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ib_lpo.weights.config import WeightsConfig
from ib_lpo.weights.parcel import Layout, Parcel, TransferError
from ib_lpo.weights.transports import TRANSPORTS, Inlet


class Inbox:
    """`expected` are the receiver's live tensors by checkpoint name; only their shapes and types are read here.

    A parcel may bring tensors that the receiver has no place for when their names begin with `beside`.
    """

    def __init__(self, receiver: str, expected: Mapping[str, Tensor], *, config: WeightsConfig, beside: str | None = None):
        self._receiver, self._config, self._beside = receiver, config, beside
        self._expected = {name: (str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)) for name, tensor in expected.items()}
        self._inlets: dict[str, Inlet] = {}
        self._parcel: Parcel | None = None
        self._buckets: list[Tensor] = []

    def stage(self, parcel: Parcel) -> None:
        """Have all of `parcel` readable here, in place of what was staged. Raises TransferError."""
        self.drop()
        self._match(parcel.layout, parcel.version)
        if parcel.transport not in self._inlets:
            self._inlets[parcel.transport] = TRANSPORTS[parcel.transport].Inlet(self._receiver, self._config.deadline_s)
        self._buckets = self._inlets[parcel.transport].read(parcel)
        self._parcel = parcel

    @property
    def version(self) -> int | None:
        """What is staged."""
        return None if self._parcel is None else self._parcel.version

    def tensors(self, version: int) -> Iterator[tuple[str, Tensor]]:
        """The staged version, in place. Raises TransferError when it is not `version` that is staged."""
        if self.version != version:
            raise TransferError(f"{self._receiver}: asked to commit version {version}, staged is {self.version}; stage it first")
        return self._parcel.layout.tensors(self._buckets)

    def confirm(self) -> None:
        """After loading: what was loaded was the version that was staged. Raises RuntimeError. Nothing is staged afterwards."""
        parcel = self._parcel
        intact = self._inlets[parcel.transport].intact(parcel)
        self.drop()
        if not intact:
            raise RuntimeError(f"{self._receiver}: version {parcel.version} was overwritten while it was loaded; replace this receiver")

    def drop(self) -> None:
        """Forget what is staged."""
        self._parcel, self._buckets = None, []

    def close(self) -> None:
        """Forget everything."""
        self.drop()
        for inlet in self._inlets.values():
            inlet.close()
        self._inlets = {}

    def _match(self, layout: Layout, version: int) -> None:
        specs = {spec.name: (spec.dtype, spec.shape) for spec in layout.specs()}
        for name, meta in self._expected.items():
            if specs.get(name) != meta:
                sent = "nothing" if name not in specs else "{} {}".format(*specs[name])
                raise TransferError(
                    f"{self._receiver}: version {version} brings {sent} for {name}, which is {meta[0]} {meta[1]} here; publish the same "
                    "model, in the type of weights.dtype"
                )
        for name in specs.keys() - self._expected.keys():
            if self._beside is None or not name.startswith(self._beside):
                raise TransferError(f"{self._receiver}: version {version} brings {name}, which it has no place for; publish the same model")


@torch.no_grad()
def load(live: Mapping[str, Tensor], staged: Iterator[tuple[str, Tensor]]) -> None:
    """Copy staged tensors into the live ones of the same name, in place."""
    for name, tensor in staged:
        if name in live:
            live[name].copy_(tensor)
