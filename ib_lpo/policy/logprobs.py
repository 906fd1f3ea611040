"""Log-probs and entropies of tokens without ever holding the [tokens, vocabulary] logits.

Logits exist for `chunk` tokens at a time and are recomputed in the backward pass. The head product runs in the type of its
inputs and is widened to float32 afterwards, as the rollout engine does it; statistics are float32.
"""

from typing import Any

import torch
from torch import Tensor


def token_logprobs(
    hidden: Tensor, head_weight: Tensor, targets: Tensor, *, temperature: float = 1.0, chunk: int = 1024
) -> tuple[Tensor, Tensor]:
    """Log-prob of each target at the sampling temperature, and the entropy of the raw distribution; both differentiable.

    hidden [N, H], head_weight [V, H] of the same dtype, targets int64 [N]. Returns (logprobs [N], entropy [N]) in nats, float32
    (float64 for float64 inputs): log softmax(logits / temperature)[target], and H(softmax(logits)) over the whole vocabulary
    whatever the temperature (method.md section 1). N = 0 is allowed.
    """
    return _TokenLogprobs.apply(hidden, head_weight, targets, temperature, chunk)


class _TokenLogprobs(torch.autograd.Function):
    """d logp / d logits = (onehot - p_T) / T;  d H / d logits = -p (log p + H)."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float, chunk: int) -> tuple[Tensor, Tensor]:
        statistics = torch.promote_types(hidden.dtype, torch.float32)
        logprobs = torch.empty(hidden.shape[0], dtype=statistics, device=hidden.device)
        entropy = torch.empty_like(logprobs)
        for part in _parts(hidden.shape[0], chunk):
            logits = _logits(hidden[part], weight)
            log_z = torch.logsumexp(logits, -1)
            chosen = logits.gather(-1, targets[part, None]).squeeze(-1)
            scaled_log_z = log_z if temperature == 1.0 else torch.logsumexp(logits / temperature, -1)
            logprobs[part] = chosen / temperature - scaled_log_z
            entropy[part] = log_z - (torch.exp(logits - log_z[:, None]) * logits).sum(-1)
        ctx.save_for_backward(hidden, weight, targets)
        ctx.temperature, ctx.chunk = temperature, chunk
        return logprobs, entropy

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_logprobs, grad_entropy = grads
        hidden, weight, targets = ctx.saved_tensors
        need_hidden, need_weight = ctx.needs_input_grad[:2]
        grad_hidden = torch.empty_like(hidden) if need_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=grad_logprobs.dtype) if need_weight else None
        for part in _parts(hidden.shape[0], ctx.chunk):
            logits = _logits(hidden[part], weight)
            grad = _grad_logits(logits, targets[part], grad_logprobs[part], grad_entropy[part], ctx.temperature).to(hidden.dtype)
            if grad_hidden is not None:
                grad_hidden[part] = grad @ weight
            if grad_weight is not None:
                grad_weight += grad.T @ hidden[part]
        return grad_hidden, None if grad_weight is None else grad_weight.to(weight.dtype), None, None, None


def _grad_logits(logits: Tensor, targets: Tensor, grad_logprobs: Tensor, grad_entropy: Tensor, temperature: float) -> Tensor:
    log_p = torch.log_softmax(logits, -1)
    p = log_p.exp()
    p_sampled = p if temperature == 1.0 else torch.softmax(logits / temperature, -1)
    entropy = -(p * log_p).sum(-1, keepdim=True)
    grad = p_sampled * (-grad_logprobs / temperature)[:, None]
    grad.scatter_add_(-1, targets[:, None], (grad_logprobs / temperature)[:, None])
    return grad.addcmul_(p * (log_p + entropy), grad_entropy[:, None], value=-1)


def _logits(hidden: Tensor, weight: Tensor) -> Tensor:
    logits = hidden @ weight.T
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _parts(total: int, chunk: int) -> list[slice]:
    return [slice(start, min(start + chunk, total)) for start in range(0, total, chunk)]
