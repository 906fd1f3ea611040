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
from ib_lpo.scoring.answer_classes import Grader, comparing
from ib_lpo.tree import RolloutTree, Verdict

QUESTIONS_AT_ONCE = 64  # sampled, handed over and graded together


def evaluation_due(step: int, manifest: Manifest, *, last: bool) -> bool:
    """Whether the policy after `step` (0: the starting one) is evaluated: every `evaluation.every` steps, before the first, after the
    `last`."""
    every = manifest.evaluation.every
    return every > 0 and (step % every == 0 or last)


def evaluation(parts: Assembly, version: int) -> dict[str, float]:
    """`eval/<benchmark>/...` of policy `version`: `avg`, `pass@<k>`, `maj@<k>` and `truncated` as shares, `tokens` per response, and
    `unverifiable` as a number of samples, which count as not solved; `uncompared` as a number of answers."""
    metrics: dict[str, float] = {}
    with comparing(parts.manifest.verifier, parts.grade) as compare:
        for benchmark in parts.benchmarks:
            found = _sampled(benchmark, version, parts, compare)
            metrics |= {f"eval/{benchmark.name}/{name}": value for name, value in _means(benchmark, found).items()}
    return metrics


def _sampled(benchmark: Benchmark, version: int, parts: Assembly, compare: Grader) -> list[Outcome]:
    found, how = [], _sampling(parts.manifest, benchmark)
    for low in range(0, len(benchmark.questions), QUESTIONS_AT_ONCE):
        trees = parts.scheduler.sample(version, benchmark.questions[low : low + QUESTIONS_AT_ONCE], how)
        found += _outcomes(trees, parts, compare)
    return found


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


def _outcomes(trees: Sequence[RolloutTree], parts: Assembly, compare: Grader) -> list[Outcome]:
    ids = [[root.token_ids.tolist() for root in tree.roots] for tree in trees]
    return outcomes(
        [tree.question for tree in trees],
        [[parts.decode(of) for of in row] for row in ids],
        [[len(of) for of in row] for row in ids],
        [[root.status for root in tree.roots] for tree in trees],
        parts.grade,
        compare,
    )


def _means(benchmark: Benchmark, found: Sequence[Outcome]) -> dict[str, float]:
    rows = [per_question(outcome, benchmark.ks) for outcome in found]
    names = dict.fromkeys(name for row in rows for name in row)
    means = {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}
    counts = {"unverifiable": count(found, Verdict.UNVERIFIABLE), "uncompared": sum(outcome.uncompared for outcome in found)}
    return means | {name: float(value) for name, value in counts.items()}
