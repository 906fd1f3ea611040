"""Position-sensitive fingerprints of tensors, for comparing a receiver's live parameters with the learner's."""

import torch
from torch import Tensor

_INT_OF_SIZE = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_BLOCK = 1 << 22  # elements hashed at one time, so that a large tensor needs little extra memory


def fingerprint(tensor: Tensor) -> int:
    """sum_i bits_i * m_i mod 2^64 with odd, index-dependent m_i: any single changed, moved or swapped element shows.

    Exact on bits (no floating-point sum), independent of device and of memory layout. 0-element tensors give 0.
    """
    flat = tensor.detach().contiguous().view(-1)
    bits = flat.view(_INT_OF_SIZE[flat.element_size()])
    total = torch.zeros((), dtype=torch.int64, device=bits.device)
    for start in range(0, bits.numel(), _BLOCK):
        block = bits[start : start + _BLOCK].to(torch.int64)
        index = torch.arange(start, start + block.numel(), dtype=torch.int64, device=bits.device)
        multiplier = (index * 0x5851F42D4C957F2D + 0x14057B7EF767814F) ^ (index >> 7)
        total += (block * (multiplier | 1)).sum()
    return int(total) & 0xFFFFFFFFFFFFFFFF
