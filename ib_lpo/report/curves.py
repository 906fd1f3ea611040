"""The metrics of a run as columns, and which of them are drawn together, in the order in which a reader asks."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from ib_lpo.metrics.registry import describe

Line = Mapping[str, float | None]

# Group, then its charts: title, and patterns of metric names. Only what the run measured is drawn.
CHARTS: tuple[tuple[str, tuple[tuple[str, tuple[str, ...]], ...]], ...] = (
    (
        "Reward and accuracy",
        (
            ("Training reward", ("grade/reward", "grade/root_reward", "grade/branch_reward")),
            ("Held-out accuracy", ("held_out/accuracy",)),
            ("Benchmarks: avg", ("eval/*/avg",)),
            ("Benchmarks: pass@k", ("eval/*/pass@*",)),
            ("Benchmarks: maj@k", ("eval/*/maj@*",)),
            ("Questions with mixed rewards", ("grade/mixed_questions",)),
            ("Verdicts", ("grade/correct", "grade/wrong", "grade/no_answer", "grade/unverifiable")),
        ),
    ),
    ("Entropy", (("Token entropy", ("entropy/mean", "grow/entropy")), ("Entropy at forks", ("grow/fork_entropy",)))),
    (
        "Length",
        (
            ("Response length", ("grow/response_tokens",)),
            ("Truncated share", ("grow/truncated",)),
            ("Benchmarks: tokens", ("eval/*/tokens",)),
        ),
    ),
    (
        "Forks",
        (
            ("Forks and roots without one", ("grow/forks", "grow/unforked", "grow/missing_forks")),
            ("Kept and dropped", ("filter/kept", "filter/dropped")),
            ("Prompt tokens from the prefix cache", ("grow/cached_share",)),
        ),
    ),
    (
        "Information bottleneck",
        (
            ("Relevance I(r;a)", ("ib/relevance", "ib/root_relevance")),
            ("Compression I(q;r)", ("ib/compression", "ib/root_compression")),
            ("S_IB by verdict", ("ib/score_correct", "ib/score_wrong")),
            ("Spread of S_IB among siblings", ("ib/spread",)),
            ("Failure modes", ("failure/*",)),
        ),
    ),
    (
        "Engine and learner",
        (
            ("Difference of log-probs", ("mismatch/mean_abs", "mismatch/max_abs")),
            ("What z changes", ("mismatch/z_gap",)),
            ("Importance weights", ("is/weight", "is/capped", "is/effective_share")),
            ("Age of the tokens", ("staleness/mean", "staleness/max")),
            ("What older weights change", ("staleness/drift",)),
        ),
    ),
    (
        "Learner",
        (
            ("Loss", ("loss/policy", "loss/self_reward", "loss/kl")),
            ("Gradient norm", ("loss/grad_norm",)),
            ("Clipped share", ("loss/clip_low", "loss/clip_high")),
            ("Learning rate", ("lr/*",)),
            ("Groups", ("advantage/groups", "advantage/flat_groups", "advantage/all_right_groups", "advantage/all_wrong_groups")),
        ),
    ),
    ("Time", (("Seconds per phase", ("seconds/*",)), ("Idle share", ("idle/engines", "idle/learner")))),
)
STACKED = frozenset({"Seconds per phase", "Verdicts"})


def curves(lines: Sequence[Line]) -> dict[str, Any]:
    """`metrics`: by name, steps, values, unit and meaning (None where unknown); `groups`: title and charts of drawn metrics."""
    names = sorted({name for line in lines for name in line} - {"step"})
    metrics = {name: _metric(name, lines) for name in names}
    drawn = [{"title": title, "charts": _charts(charts, names)} for title, charts in CHARTS]
    return {"metrics": metrics, "groups": [group for group in drawn if group["charts"]]}


def _charts(charts: Sequence[tuple[str, Sequence[str]]], names: Sequence[str]) -> list[dict[str, Any]]:
    matched = [(title, [name for pattern in patterns for name in names if fnmatchcase(name, pattern)]) for title, patterns in charts]
    return [{"title": title, "names": found, "stacked": title in STACKED} for title, found in matched if found]


def _metric(name: str, lines: Sequence[Line]) -> dict[str, Any]:
    known = describe(name)
    points = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
    return {
        "steps": [step for step, _ in points],
        "values": [value for _, value in points],
        "unit": known.unit if known else "",
        "meaning": known.meaning if known else "",
    }
