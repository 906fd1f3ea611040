"""Metrics of held-out questions and benchmarks during training (method.md section 4)."""

from ib_lpo.metrics.metric import Metric

_HELD_OUT, _EVALUATION = "held_out.py", "evaluation/during_training.py"

EVALUATION = (
    Metric(
        name="held_out/accuracy",
        unit="share",
        meaning="of plain samples of the held-out questions (no branching, no z) the correct ones; unverifiable ones count as not solved",
        source=_HELD_OUT,
        best="max",
    ),
    Metric(name="held_out/samples", unit="count", meaning="samples that it rests on", source=_HELD_OUT, total="last"),
    Metric(name="held_out/questions", unit="count", meaning="questions that it rests on", source=_HELD_OUT, total="last"),
    Metric(name="held_out/unverifiable", unit="count", meaning="of them, those that could not be graded", source=_HELD_OUT, total="sum"),
    Metric(name="held_out/entropy", unit="nats", meaning="token entropy H_t, mean over the tokens of all samples", source=_HELD_OUT),
    Metric(name="held_out/response_tokens", unit="tokens", meaning="length of a response, mean over samples", source=_HELD_OUT),
    Metric(
        name="held_out/pass@<k>",
        unit="share",
        meaning="unbiased estimate 1 - C(n-c,k)/C(n,k) that one of k samples is correct, mean over questions (held_out.ks)",
        source=_HELD_OUT,
        best="max",
    ),
    Metric(
        name="held_out/maj@<k>",
        unit="share",
        meaning="probability that the most frequent answer of k samples is correct, mean over questions (held_out.ks)",
        source=_HELD_OUT,
        best="max",
    ),
    Metric(
        name="held_out/diversity/<measure>",
        unit="1",
        meaning="how the first evaluation.diversity_samples samples of a question differ, mean over questions "
        "(held_out.diversity); units and meanings: below",
        source=_HELD_OUT,
    ),
    Metric(
        name="eval/<benchmark>/avg",
        unit="share",
        meaning="avg@n: of the n samples of a question the correct ones, mean over all questions of the benchmark",
        source=_EVALUATION,
        best="max",
    ),
    Metric(
        name="eval/<benchmark>/pass@<k>",
        unit="share",
        meaning="unbiased estimate 1 - C(n-c,k)/C(n,k) that one of k samples is correct, mean over all questions of the benchmark",
        source=_EVALUATION,
        best="max",
    ),
    Metric(
        name="eval/<benchmark>/maj@<k>",
        unit="share",
        meaning="probability that the most frequent answer of k samples is correct, mean over all questions of the benchmark",
        source=_EVALUATION,
        best="max",
    ),
    Metric(name="eval/<benchmark>/tokens", unit="tokens", meaning="length of a response, mean over samples", source=_EVALUATION),
    Metric(
        name="eval/<benchmark>/truncated",
        unit="share",
        meaning="of samples, those that reached the longest response before an end token",
        source=_EVALUATION,
    ),
    Metric(
        name="eval/<benchmark>/unverifiable",
        unit="count",
        meaning="samples that could not be graded; they count as not solved",
        source=_EVALUATION,
        total="sum",
    ),
    Metric(
        name="eval/<benchmark>/uncompared",
        unit="count",
        meaning="spellings that maj@k takes for answers of their own because comparing all of a question would take too long",
        source=_EVALUATION,
        total="sum",
    ),
)
