"""Peak memory and time of chunked log-probs against the naive computation, forward and backward, at the vocabulary of Qwen2.5.

Every number comes from a process of its own, in which nothing else has allocated anything. On CPU the peak is that of the resident
set since the inputs were made, on CUDA that of torch's allocator.
"""

import gc
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.compare import Comparison, clock
from ib_lpo.policy.logprobs import token_logprobs

TOKENS, VOCABULARY, HIDDEN, CHUNKS = 2048, 151_936, 256, (1024, 256)
TYPES = {"cpu": torch.float32, "cuda": torch.bfloat16}
DEADLINE_S = 600.0  # of one process
MIB = 2**20
TOOLS = Path(__file__).resolve().parents[1]
LogProbs = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def naive(hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probs and entropies [N], both differentiable, through all float32 logits [N, V] at once."""
    log_p = torch.log_softmax((hidden @ weight.T).float(), dim=-1)
    return log_p.gather(-1, targets[:, None]).squeeze(-1), -(log_p.exp() * log_p).sum(-1)


def naive_metric(hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The same with the entropy as a mere metric."""
    log_p = torch.log_softmax((hidden @ weight.T).float(), dim=-1)
    with torch.no_grad():
        entropy = -(log_p.exp() * log_p).sum(-1)
    return log_p.gather(-1, targets[:, None]).squeeze(-1), entropy


VARIANTS: dict[str, LogProbs] = {
    "naive": naive,
    "naive, no gradient through the entropy": naive_metric,
    **{f"ours, {chunk:,} tokens at a time": partial(token_logprobs, chunk=chunk) for chunk in CHUNKS},
}


def sample(variant: str, device: str) -> tuple[float, float]:
    """Peak MiB above the inputs and seconds of one forward and backward, in this process, which must be fresh."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    hidden, weight = (torch.randn(rows, HIDDEN, dtype=TYPES[device], device=device) for rows in (TOKENS, VOCABULARY))
    weight = weight.div_(HIDDEN**0.5).requires_grad_()
    hidden.requires_grad_()
    targets = torch.randint(VOCABULARY, (TOKENS,), device=device)
    peak, started = _peak_meter(device), clock(device)
    logprobs, entropy = VARIANTS[variant](hidden, weight, targets)
    (logprobs.mean() + 0.01 * entropy.mean()).backward()
    seconds = clock(device) - started
    return peak() / MIB, seconds


def _peak_meter(device: str) -> Callable[[], float]:
    """A function that gives the peak in bytes above what is held now."""
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        return lambda: torch.cuda.max_memory_allocated() - before
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts anew from the current resident set
    before = _resident("VmHWM")
    return lambda: _resident("VmHWM") - before


def _resident(field: str) -> int:
    """Bytes; fields as in proc(5)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def fresh_sample(variant: str, device: str) -> tuple[float, float]:
    """`sample` in a new process. Raises CalledProcessError or TimeoutExpired."""
    command = [sys.executable, "-m", "benchmarks.learner_memory", variant, device]
    done = subprocess.run(command, cwd=TOOLS, stdout=subprocess.PIPE, check=True, timeout=DEADLINE_S)
    return tuple(json.loads(done.stdout))


def log_prob_memory(_: Path, device: str, rounds: int) -> list[Comparison]:
    """Peak memory, and time, of every variant."""
    peaks: dict[str, list[float]] = {name: [] for name in VARIANTS}
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    names = list(VARIANTS)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            peak, took = fresh_sample(name, device)
            peaks[name].append(peak)
            seconds[name].append(took)
    what = f"log-probs and entropies of {TOKENS:,} tokens, vocabulary {VOCABULARY:,}, hidden {HIDDEN}"
    gradient = VOCABULARY * HIDDEN * torch.finfo(TYPES[device]).bits / 8 / MIB
    note = f"Above the inputs; the gradient of the output layer, {gradient:,.0f} MiB, is in every row. One process per number."
    return [
        Comparison(title=f"Peak memory of {what}", unit="MiB", samples=peaks, note=note),
        Comparison(title=f"Time of {what}", unit="s", samples=seconds, note="Forward and backward, the processes of the table above."),
    ]


if __name__ == "__main__":
    print(json.dumps(sample(*sys.argv[1:])))
