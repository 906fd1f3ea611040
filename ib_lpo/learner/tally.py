"""Sums and peaks over tokens, micro-batches and ranks: one small reduction per update gives every rank the same metrics."""

import torch
import torch.distributed as dist
from torch import Tensor


class Tally:
    """Named float64 sums and maxima. All ranks declare the same names, whatever their shard holds."""

    def __init__(self, *, sums: tuple[str, ...], peaks: tuple[str, ...] = (), device: str):
        self._sums = {name: torch.zeros((), dtype=torch.float64, device=device) for name in sums}
        self._peaks = {name: torch.zeros((), dtype=torch.float64, device=device) for name in peaks}

    def add(self, name: str, value: Tensor | float) -> None:
        """Add the sum of `value`'s elements."""
        self._sums[name] += value.detach().double().sum() if isinstance(value, Tensor) else value

    def peak(self, name: str, values: Tensor) -> None:
        """Raise the maximum to the largest of `values` (>= 0), which may be empty."""
        if values.numel():
            self._peaks[name] = torch.maximum(self._peaks[name], values.detach().double().max())

    def reduce(self) -> dict[str, float]:
        """Totals over all ranks. Collective."""
        totals: dict[str, float] = {}
        for held, operation in ((self._sums, dist.ReduceOp.SUM), (self._peaks, dist.ReduceOp.MAX)):
            if held:
                stacked = torch.stack(list(held.values()))
                dist.all_reduce(stacked, operation)
                totals |= dict(zip(held, stacked.tolist(), strict=True))
        return totals
