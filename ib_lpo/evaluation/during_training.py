"""Evaluation during training: plain samples of the benchmarks from the run's own engines, without branching and without z.

It takes nothing that training uses: seeds are its own, the engines forget its prefixes, and no weight or data position depends on it.
"""

from collections.abc import Sequence

import numpy as np

from ib_lpo.assembly import Assembly
from ib_lpo.branching.scheduler import PlainSampling
from ib_lpo.evaluation.benchmarks import Benchmark
from ib_lpo.evaluation.outcome import Outcome, outcomes
from ib_lpo.evaluation.summary import count, per_question
from ib_lpo.manifest import Manifest
from ib_lpo.tree import RolloutTree, Verdict


def evaluation_due(step: int, manifest: Manifest) -> bool:
    """Whether the policy after `step` (0: the starting one) is evaluated: every `evaluation.every` steps, before the first, after the
    last."""
    every = manifest.evaluation.every
    return every > 0 and (step % every == 0 or step == manifest.steps)


def evaluation(parts: Assembly, version: int) -> dict[str, float]:
    """`eval/<benchmark>/...` of policy `version`: `avg`, `pass@<k>`, `maj@<k>` and `truncated` as shares, `tokens` per response, and
    `unverifiable` as a number of samples, which count as not solved."""
    metrics: dict[str, float] = {}
    for benchmark in parts.benchmarks:
        trees = parts.scheduler.call("sample", version, benchmark.questions, _sampling(parts.manifest, benchmark)).result()
        metrics |= {f"eval/{benchmark.name}/{name}": value for name, value in _means(benchmark, _outcomes(trees, parts)).items()}
    return metrics


def _sampling(manifest: Manifest, benchmark: Benchmark) -> PlainSampling:
    config = manifest.evaluation
    return PlainSampling(
        purpose=f"evaluation/{benchmark.name}",
        samples=benchmark.samples,
        temperature=config.temperature,
        max_response_tokens=config.max_response_tokens or manifest.rollout.max_response_tokens,
        top_p=config.top_p,
        top_k=config.top_k,
    )


def _outcomes(trees: Sequence[RolloutTree], parts: Assembly) -> list[Outcome]:
    ids = [[root.token_ids.tolist() for root in tree.roots] for tree in trees]
    return outcomes(
        [tree.question for tree in trees],
        [[parts.decode(of) for of in row] for row in ids],
        [[len(of) for of in row] for row in ids],
        [[root.status for root in tree.roots] for tree in trees],
        parts.grade,
    )


def _means(benchmark: Benchmark, found: Sequence[Outcome]) -> dict[str, float]:
    rows = [per_question(outcome, benchmark.ks) for outcome in found]
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return means | {"unverifiable": float(count(found, Verdict.UNVERIFIABLE))}
