"""Exact token entropies, returned in-band: the log-prob of a reserved id that the request asks for is replaced by H_t."""

import torch
from torch import Tensor

_CPU_BLOCK = 1 << 18  # numbers taken at one time on CPU: their intermediates, 2 MiB, stay in a core's cache


def entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of softmax(logits), logits [rows, V], float32 [rows].

    log Z - sum(e^l * l) / Z keeps fp32 error near 1e-6 at 150k classes, where log_softmax-based forms lose two digits more.
    """
    if logits.device.type != "cpu":
        shifted = logits.float() - logits.amax(-1, keepdim=True)
        return _entropy(shifted, shifted.exp())
    rows = max(1, _CPU_BLOCK // logits.shape[-1])
    shifted, weights = logits.new_empty(2, min(rows, len(logits)), logits.shape[-1], dtype=torch.float32)
    blocks = [(block, shifted[: len(block)], weights[: len(block)]) for block in logits.split(rows)]
    return torch.cat([_entropy(torch.sub(b.float(), b.amax(-1, keepdim=True), out=s), torch.exp(s, out=w)) for b, s, w in blocks])


def _entropy(shifted: Tensor, weights: Tensor) -> Tensor:
    """`shifted` [rows, V]: logits less any number per row; `weights`: its exponentials."""
    total = weights.sum(-1)
    return total.log() - torch.linalg.vecdot(weights, shifted) / total


def columns(sampled_logprobs: Tensor, entropies: Tensor, sampled: Tensor, entropy_id: int):
    """vLLM LogprobsTensors of the sampled tokens ([rows] ids, [rows, 1] log-probs) and of `entropies` [rows]; ranks are 0."""
    from vllm.v1.outputs import LogprobsTensors

    ids = torch.stack([sampled, torch.full_like(sampled, entropy_id)], dim=-1)
    return LogprobsTensors(ids.to(torch.int32), torch.cat([sampled_logprobs, entropies[:, None]], dim=-1), torch.zeros_like(sampled))


def place(logprobs, entropies: Tensor, entropy_id: int):
    """vLLM LogprobsTensors with `entropies` [rows] in the column of `entropy_id`."""
    if logprobs is None:
        return None
    column = logprobs.logprob_token_ids == entropy_id
    return logprobs._replace(logprobs=torch.where(column, entropies[:, None].to(logprobs.logprobs.dtype), logprobs.logprobs))
