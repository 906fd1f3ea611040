"""Every policy loss token by token, in plain Python: values, both gradients and metrics, worked out from the papers' formulas by hand."""

import math
from dataclasses import dataclass

import torch

from ib_lpo.learner.losses import TokenBatch


@dataclass
class Loops:
    """Lists over tokens, gradients of the sum of all values."""

    values: list[float]
    to_logprobs: list[float]
    to_entropy: list[float]
    metrics: dict[str, float]


def draw(lengths: list[int], seed: int) -> TokenBatch:
    """Random float64 tokens of trajectories of these lengths (0: the trajectory has none); a third of the advantages is 0."""
    rng = torch.Generator().manual_seed(seed)
    n = sum(lengths)
    normal = lambda: torch.randn(n, dtype=torch.float64, generator=rng)  # noqa: E731
    return TokenBatch(
        logprobs=(normal() * 0.4 - 1).requires_grad_(),
        entropy=normal().abs().requires_grad_(),
        old_logprobs=normal() * 0.4 - 1,
        weights=normal().abs(),
        advantages=normal() * (torch.rand(n, generator=rng) > 1 / 3),
        sequence=torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths, dtype=torch.int64)),
        chosen=torch.rand(n, generator=rng) > 0.5,
    )


def loops(tokens: TokenBatch, config) -> Loops:
    found = Loops([], [], [], {"clip_low": 0, "clip_high": 0, "ratio": 0.0, "chosen": 0})
    rows = [
        dict(zip(("new", "h", "old", "w", "a", "s", "chosen"), row, strict=True))
        for row in zip(
            tokens.logprobs.tolist(),
            tokens.entropy.tolist(),
            tokens.old_logprobs.tolist(),
            tokens.weights.tolist(),
            tokens.advantages.tolist(),
            tokens.sequence.tolist(),
            tokens.chosen.tolist(),
            strict=True,
        )
    ]
    if config.kind == "gspo":
        _gspo(rows, config, found)
    else:
        for row in rows:
            value, slope, to_entropy = _TOKEN.get(config.kind, _grpo)(row, config, found.metrics)
            found.values.append(value)
            found.to_logprobs.append(slope)
            found.to_entropy.append(to_entropy)
    found.metrics["chosen"] = sum(row["chosen"] for row in rows)
    return found


def _surrogate(ratio, a, w, config, metrics):
    """Value and its derivative by the ratio."""
    metrics["ratio"] += ratio
    if a > 0 and ratio > 1 + config.clip_high:
        metrics["clip_high"] += 1
        return -w * (1 + config.clip_high) * a, 0.0
    if a < 0 and ratio < 1 - config.clip_low:
        metrics["clip_low"] += 1
        return -w * (1 - config.clip_low) * a, 0.0
    return -w * ratio * a, -w * a


def _grpo(row, config, metrics):
    ratio = math.exp(row["new"] - row["old"])
    value, by_ratio = _surrogate(ratio, row["a"], row["w"], config, metrics)
    return value, by_ratio * ratio, 0.0


def _cispo(row, config, metrics):
    ratio = math.exp(row["new"] - row["old"])
    metrics["ratio"] += ratio
    metrics["clip_low"] += ratio < 1 - config.clip_low
    metrics["clip_high"] += ratio > 1 + config.clip_high
    factor = -row["w"] * min(max(ratio, 1 - config.clip_low), 1 + config.clip_high) * row["a"]
    return factor * row["new"], factor, 0.0


def _entropy_reg(row, config, metrics):
    value, slope, _ = _grpo(row, config, metrics)
    return value - config.coefficient * row["h"], slope, -config.coefficient


def _entropy_adv(row, config, metrics):
    return _grpo(row | {"a": row["a"] + min(config.alpha * row["h"], abs(row["a"]) / config.kappa)}, config, metrics)


def _kl_cov(row, config, metrics):
    gap = row["new"] - row["old"]
    metrics["ratio"] += math.exp(gap)
    value = slope = -row["w"] * math.exp(gap) * row["a"]
    if row["chosen"]:
        value, slope = value + config.coefficient * abs(gap), slope + math.copysign(config.coefficient, gap)
    return value, slope, 0.0


def _clip_cov(row, config, metrics):
    return _silent(row, metrics) if row["chosen"] else _grpo(row, config, metrics)


def _high_entropy(row, config, metrics):
    return _grpo(row, config, metrics) if row["chosen"] else _silent(row, metrics)


def _silent(row, metrics):
    metrics["ratio"] += math.exp(row["new"] - row["old"])
    return 0.0, 0.0, 0.0


def _gspo(rows, config, found):
    for sequence in sorted({row["s"] for row in rows}):
        own = [row for row in rows if row["s"] == sequence]
        ratio = math.exp(sum(row["new"] - row["old"] for row in own) / len(own))
        pairs = [_surrogate(ratio, row["a"], row["w"], config, found.metrics) for row in own]
        found.values += [value for value, _ in pairs]
        found.to_logprobs += [sum(by_ratio for _, by_ratio in pairs) * ratio / len(own)] * len(own)
        found.to_entropy += [0.0] * len(own)


_TOKEN = {
    "cispo": _cispo,
    "entropy_reg": _entropy_reg,
    "entropy_adv": _entropy_adv,
    "kl_cov": _kl_cov,
    "clip_cov": _clip_cov,
    "high_entropy": _high_entropy,
}
