"""Exact token entropies, returned in-band: the log-prob of a reserved id that the request asks for is replaced by H_t."""

import torch
from torch import Tensor

_CPU_BLOCK = 1 << 19  # numbers taken at one time on CPU: their intermediates stay in a core's cache


def entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of softmax(logits), logits [rows, V], float32 [rows].

    log Z - sum(e^l * l) / Z keeps fp32 error near 1e-6 at 150k classes, where log_softmax-based forms lose two digits more.
    """
    if logits.device.type != "cpu":
        return _entropy(logits)
    return torch.cat([_entropy(block) for block in logits.split(max(1, _CPU_BLOCK // logits.shape[-1]))])


def _entropy(logits: Tensor) -> Tensor:
    shifted = logits.float() - logits.amax(-1, keepdim=True)
    weights = shifted.exp()
    total = weights.sum(-1)
    return total.log() - torch.linalg.vecdot(weights, shifted) / total


def place(logprobs, entropies: Tensor, entropy_id: int):
    """vLLM LogprobsTensors with `entropies` [rows] in the column of `entropy_id`."""
    if logprobs is None:
        return None
    column = logprobs.logprob_token_ids == entropy_id
    return logprobs._replace(logprobs=torch.where(column, entropies[:, None].to(logprobs.logprobs.dtype), logprobs.logprobs))
