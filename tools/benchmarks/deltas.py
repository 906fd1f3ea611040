"""How much of a policy a training step changes, as it is sent: what publishing only the changes could save.

Real updates: AdamW on float32 weights with a policy gradient on sampled responses, at the learner's default rates. The weights are compared
after rounding to the type on the wire.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from benchmarks.compare import Comparison
from benchmarks.engines import policy
from ib_lpo.learner.config import LearnerConfig
from ib_lpo.weights.config import WeightsConfig
from ib_lpo.weights.parcel import plan

GROUP, PROMPT, TOKENS = 8, 16, 48
RATES = (1e-6, 1e-5)


def changed(model: Path | None, rounds: int) -> list[Comparison]:
    """One table per learning rate, for the policy in `model` or a small random one; `rounds` are steps, each compared with the last."""
    with TemporaryDirectory() as folder:
        path = policy(Path(folder)) if model is None else model
        name = "A random Qwen3" if model is None else model.name
        return [_table(path, name, rate, rounds) for rate in RATES]


def _table(model_path: Path, name: str, rate: float, steps: int) -> Comparison:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32).eval()
    samples: dict[str, list[float]] = {"elements, bfloat16": [], "elements, float32": [], "tensors, bfloat16": [], "buckets, bfloat16": []}
    before = _copies(model)
    for _ in _train(model, rate, steps):
        after = _copies(model)
        for kind, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
            moved = {name: int((after[name].to(dtype) != before[name].to(dtype)).sum()) for name in after}
            samples[f"elements, {kind}"].append(100 * sum(moved.values()) / sum(t.numel() for t in after.values()))
            if kind == "bfloat16":
                samples["tensors, bfloat16"].append(100 * sum(map(bool, moved.values())) / len(moved))
                samples["buckets, bfloat16"].append(100 * _buckets(after, moved))
        before = after
    note = f"{name}, {GROUP} responses of {TOKENS} tokens a step, {steps} steps."
    return Comparison(title=f"share of the weights that a step changes, learning rate {rate:g}", unit="%", samples=samples, note=note)


def _copies(model: PreTrainedModel) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def _buckets(weights: dict[str, Tensor], moved: dict[str, int]) -> float:
    shapes = ((name, tuple(tensor.shape)) for name, tensor in weights.items())
    buckets = plan(shapes, torch.bfloat16, int(WeightsConfig().bucket_mb * 1e6)).buckets
    return sum(any(moved[spec.name] for spec in bucket) for bucket in buckets) / len(buckets)


def _train(model: PreTrainedModel, rate: float, steps: int) -> Iterator[None]:
    config = LearnerConfig()
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, betas=config.betas, weight_decay=config.weight_decay)
    for _ in range(steps):
        prompt = torch.randint(2, model.config.vocab_size, (1, PROMPT)).expand(GROUP, -1)
        sampled = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=TOKENS, do_sample=True, pad_token_id=0)
        logprobs = model(sampled[:, :-1]).logits[:, PROMPT - 1 :].log_softmax(-1).gather(-1, sampled[:, PROMPT:, None])[..., 0]
        rewards = torch.randint(0, 2, (GROUP, 1)).float()
        (-(rewards - rewards.mean()) * logprobs).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
        optimiser.step()
        optimiser.zero_grad()
        yield
