"""What the entropy function itself costs."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.compare import Comparison, alternate, clock
from ib_lpo.rollout.plugin.entropy import entropy

SHAPE, CALLS = (32, 151_936), 5


def entropy_function(folder: Path, device: str, rounds: int) -> list[Comparison]:
    """Logits float32 [32, 151936], a Qwen vocabulary: vLLM's own log_softmax, the entropy taken from it, and ours."""
    from vllm.v1.sample.sampler import Sampler

    logits = 3 * torch.randn(SHAPE, generator=torch.Generator().manual_seed(0)).to(device)

    def from_log_softmax(logits: Tensor) -> Tensor:
        logprobs = Sampler.compute_logprobs(logits)
        return -(logprobs.exp() * logprobs).sum(-1)

    def milliseconds(function: Callable[[Tensor], Tensor]) -> float:
        started = clock(device)
        for _ in range(CALLS):
            function(logits)
        return 1e3 * (clock(device) - started) / CALLS

    variants = {
        "vLLM's log_softmax alone": lambda: milliseconds(Sampler.compute_logprobs),
        "our entropy": lambda: milliseconds(entropy),
        "entropy from vLLM's log_softmax": lambda: milliseconds(from_log_softmax),
    }
    return [alternate("entropy of logits [32, 151936]", "ms", variants, rounds)]
