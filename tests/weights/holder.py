"""A receiver without a model, in this process or one of its own."""

import torch

from ib_lpo.weights.config import WeightsConfig
from ib_lpo.weights.fingerprint import fingerprint
from ib_lpo.weights.inbox import Inbox, load
from ib_lpo.weights.parcel import Parcel, Receipt, TransferError
from ib_lpo.weights.place import Place, here

SHAPES = {"a": (40, 10), "b": (7,), "c": (3, 5), "maps.kv": (900,)}


def policy(seed: int, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """A policy's tensors."""
    rng = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=rng).to(dtype) for name, shape in SHAPES.items()}


class Holder:
    """Serves the tensors it holds; `fault` says what it does wrong."""

    def __init__(self, name: str, fault: str = "", deadline_s: float = 30.0, dtype: torch.dtype = torch.float32):
        self._name, self._fault = name, fault
        self._torn = int(fault.partition(" ")[2]) if fault.startswith("torn ") else 0  # times that it cannot stage
        self.live = {tensor_name: torch.zeros(shape, dtype=dtype) for tensor_name, shape in SHAPES.items()}
        self.version: int | None = None
        self.calls: list[str] = []
        self._inbox = Inbox(name, self.live, config=WeightsConfig(deadline_s=deadline_s))

    def place(self) -> Place:
        self.calls.append("place")
        return here("cpu", self._name)

    def stage(self, parcel: Parcel) -> None:
        self.calls.append("stage")
        if self._fault == "deaf":
            raise RuntimeError(f"{self._name} is deaf")
        if self._torn:
            self._torn -= 1
            raise TransferError(f"{self._name}: the broadcast of version {parcel.version} was torn")
        self._inbox.stage(parcel)

    def take(self, parcel: Parcel) -> Receipt:
        if self._inbox.version != parcel.version:
            self.stage(parcel)
        return self.commit(parcel.version)

    def commit(self, version: int) -> Receipt:
        self.calls.append("commit")
        if self._fault == "breaks":
            raise RuntimeError(f"{self._name} breaks")
        load(self.live, self._inbox.tensors(version))
        self._inbox.confirm()
        self.version = version
        held = {name: fingerprint(tensor) for name, tensor in self.live.items()}
        if self._fault == "corrupt":
            held["b"] += 1
        if self._fault == "missing":
            del held["b"]
        return Receipt(self._name, version - 1 if self._fault == "stale" else version, held, seconds=0.25)

    def state(self) -> tuple[int | None, dict[str, torch.Tensor]]:
        """What it serves."""
        return self.version, self.live

    def close(self) -> None:
        self._inbox.close()
