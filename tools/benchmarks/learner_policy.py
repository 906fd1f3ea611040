"""The policies of the learner's benchmarks, and our step on them: forward, loss, backward.

Two vocabularies on one body of 3.1 M parameters. With 32,000 tokens the output layer takes 78 % of the multiplications; with
1,024 it takes the 10 % that it takes in Qwen2.5-7B.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import Qwen3ForCausalLM

from benchmarks.compare import clock
from benchmarks.network import qwen3
from ib_lpo.latent.config import PsaConfig
from ib_lpo.learner.loss_config import GrpoLoss
from ib_lpo.learner.losses import LOSSES, TokenBatch
from ib_lpo.learner.model import PolicyModule
from ib_lpo.policy.forest import Path, plant
from ib_lpo.policy.packed_attention import install

VOCABULARIES = (32_000, 1_024)
CLIP = GrpoLoss()
TYPES = {"cpu": torch.float32, "cuda": torch.bfloat16}


class Disagreement(RuntimeError):
    """The two sides do not compute the same thing, so their speeds cannot be compared."""


def policy(vocabulary: int, device: str) -> Qwen3ForCausalLM:
    """A random Qwen3: hidden 256, 4 layers, 4 heads of 64, 2 of them for keys. Its weights are wide enough for varied log-probs."""
    torch.manual_seed(0)
    config = qwen3(vocabulary=vocabulary, layers=4, context=4096, initializer_range=0.05, attn_implementation="sdpa")
    return Qwen3ForCausalLM(config).to(device, TYPES[device]).train()


def module(vocabulary: int, device: str) -> PolicyModule:
    """Our wrapper around the same weights."""
    model = policy(vocabulary, device)
    install(model, None)
    return PolicyModule(model, None, PsaConfig(), temperature=1.0, chunk=1024)


def token_logprobs(ours: PolicyModule, paths: Sequence[Path], *, share: bool, device: str) -> tuple[Tensor, Tensor]:
    """Log-probs and entropies [N] of the paths' targets, in their order."""
    return ours(plant(paths, share=share).to(device))


def backward(ours: PolicyModule, paths: Sequence[Path], advantages: np.ndarray, total: int, *, share: bool, device: str) -> float:
    """The loss of one micro-batch of a step of `total` trained tokens, its gradient added to the weights'. Planting is part of it."""
    logprobs, entropy = token_logprobs(ours, paths, share=share, device=device)
    counts = np.array([len(path.ids) - path.start for path in paths])
    tokens = TokenBatch(
        logprobs=logprobs,
        entropy=entropy,
        old_logprobs=logprobs.detach(),
        weights=torch.ones_like(logprobs),
        advantages=torch.from_numpy(np.repeat(advantages, counts)).to(logprobs),
        sequence=torch.from_numpy(np.repeat(np.arange(len(paths)), counts)).to(device),
        chosen=torch.ones_like(logprobs, dtype=torch.bool),
    )
    loss = LOSSES["grpo"].token_loss(tokens, CLIP).values.sum() / total
    loss.backward()
    return loss.item()


def multiplications(ours: PolicyModule, computed: int, trained: int) -> int:
    """Of weights with activations, forward and backward, without attention: three per weight of the body for each computed token, and
    four per weight of the output layer, whose logits are computed twice, for each trained one."""
    body = sum(p.numel() for p in ours.policy.model.layers.parameters() if p.ndim == 2)
    return 3 * body * computed + 4 * ours.policy.lm_head.weight.numel() * trained


def gradient_norm(model: torch.nn.Module) -> float:
    """Of all gradients together, which are dropped."""
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None]).item()
    model.zero_grad(set_to_none=True)
    return norm


def speed(model: torch.nn.Module, step: Callable[[], object], tokens: int, device: str) -> float:
    """Tokens per second of one step, whose gradients are dropped."""
    started = clock(device)
    step()
    seconds = clock(device) - started
    model.zero_grad(set_to_none=True)
    return tokens / seconds
