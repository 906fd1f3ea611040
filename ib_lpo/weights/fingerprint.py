"""Position-sensitive fingerprints of tensors, for comparing a receiver's live parameters with the learner's."""

from functools import lru_cache

import torch
from torch import Tensor

_BLOCK = 1 << 18  # 64-bit words hashed at one time: small enough for the cache, and no large tensor is copied
_STEP = 0x5851F42D4C957F2D  # odd, joins the blocks


def fingerprint(tensor: Tensor) -> int:
    """A 64-bit hash of the tensor's bytes in row-major order: any changed, moved or swapped word shows.

    Within a block sum_i w_i * m_i mod 2^64 with odd m_i that depend on i; blocks are joined by h <- h * odd + block. Integer
    arithmetic throughout, so the result does not depend on device, threads or memory layout. 0-element tensors give 0.
    """
    raw = tensor.detach().contiguous().view(-1)
    if raw.numel() == 0:
        return 0
    raw = raw.view(torch.uint8)
    whole = raw.numel() // 8 * 8
    parts = [raw[:whole]] if whole else []
    if whole < raw.numel():
        parts.append(torch.nn.functional.pad(raw[whole:], (0, 8 - raw.numel() + whole)))
    multipliers = _multipliers(raw.device)
    total = torch.zeros((), dtype=torch.int64, device=raw.device)
    for part in parts:
        words = (part if part.storage_offset() % 8 == 0 else part.clone()).view(torch.int64)
        for block in words.split(_BLOCK):
            total = total * _STEP + (block * multipliers[: block.numel()]).sum()
    return int(total) & 0xFFFFFFFFFFFFFFFF


@lru_cache(maxsize=8)
def _multipliers(device: torch.device) -> Tensor:
    """Odd, distinct, index-dependent int64 [_BLOCK]."""
    index = torch.arange(_BLOCK, dtype=torch.int64, device=device)
    return (index * 0x1F123BB5159A55E5 ^ (index >> 7)) | 1
