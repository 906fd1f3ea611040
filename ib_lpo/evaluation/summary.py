"""A benchmark in numbers: means over all of its questions, with bootstrap intervals over questions.

The denominator is fixed: a summary is of every question and of all n samples of each, or there is none. Samples that cannot be verified
or have no answer count as not solved. Measures of diversity, and maj@k with a reward that knows of no answers, may be undefined for a
question, and are means over the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ib_lpo import seeds
from ib_lpo.bootstrap import Estimate, bootstrap
from ib_lpo.evaluation.benchmarks import Benchmark
from ib_lpo.evaluation.metrics import maj_at_k, pass_at_k
from ib_lpo.evaluation.outcome import Outcome
from ib_lpo.tree import Status, Verdict

DIVERSITY = "diversity/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What `ib-lpo eval` found on one benchmark."""

    benchmark: str
    questions: int
    samples: int  # n, per question
    ks: tuple[int, ...]
    unverifiable: int  # samples without a verdict
    no_answer: int  # samples that state no answer
    uncompared: int  # spellings that are answers of their own because comparing all of a question would take too long
    estimates: dict[str, Estimate | None]  # by name as `per_question` has them; None where no question has a value


def per_question(outcome: Outcome, ks: Sequence[int]) -> dict[str, float]:
    """`avg` = c/n, `pass@<k>` and `maj@<k>` in [0, 1], the latter not without any answer; `tokens`, mean; `truncated`, a share;
    `diversity/<measure>`, where measured."""
    solved, samples = outcome.solved, outcome.samples
    answers = [sample.answer_class for sample in samples]
    return {
        "avg": sum(solved) / len(samples),
        **{f"pass@{k}": pass_at_k(len(samples), sum(solved), k) for k in ks},
        **({} if outcome.answerless else {f"maj@{k}": maj_at_k(answers, solved, k) for k in ks}),
        "tokens": sum(sample.tokens for sample in samples) / len(samples),
        "truncated": sum(sample.status is Status.TRUNCATED for sample in samples) / len(samples),
        **{f"{DIVERSITY}{name}": value for name, value in outcome.diversity.items()},
    }


def count(outcomes: Sequence[Outcome], verdict: Verdict) -> int:
    """Samples with this verdict."""
    return sum(sample.verdict is verdict for outcome in outcomes for sample in outcome.samples)


def summarise(benchmark: Benchmark, outcomes: Sequence[Outcome], *, resamples: int, seed: int) -> Summary:
    """Estimates over all questions. Raises ValueError unless every question of the benchmark has its n samples."""
    asked, found = [question.id for question in benchmark.questions], [outcome.question for outcome in outcomes]
    if asked != found or any(len(outcome.samples) != benchmark.samples for outcome in outcomes):
        raise ValueError(f"{benchmark.name}: outcomes of {len(found)} of {len(asked)} questions; a benchmark is summarised whole")
    rows = [per_question(outcome, benchmark.ks) for outcome in outcomes]
    estimates: dict[str, Estimate | None] = {f"maj@{k}": None for k in benchmark.ks if all(outcome.answerless for outcome in outcomes)}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = np.array([row[name] for row in rows if name in row])
        rng = seeds.generator(seed, "evaluation", "bootstrap", benchmark.name, name)
        estimates[name] = bootstrap(values, resamples=resamples, rng=rng)
    return Summary(
        benchmark=benchmark.name,
        questions=len(rows),
        samples=benchmark.samples,
        ks=benchmark.ks,
        unverifiable=count(outcomes, Verdict.UNVERIFIABLE),
        no_answer=sum(sample.answer is None or sample.verdict is Verdict.NO_ANSWER for outcome in outcomes for sample in outcome.samples),
        uncompared=sum(outcome.uncompared for outcome in outcomes),
        estimates=estimates,
    )
