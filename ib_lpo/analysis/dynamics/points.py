"""What a run's trees and metrics say about each of its steps: the points of `ib-lpo analyze dynamics`. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from ib_lpo.analysis.runs.directories import smoothed
from ib_lpo.analysis.runs.intervals import over_questions, per_question, wilson
from ib_lpo.analysis.runs.questions import WITHIN, QuestionMeans, held_out_questions
from ib_lpo.bootstrap import Estimate
from ib_lpo.manifest import Manifest

MEASURES = {
    "accuracy": "training accuracy (of verifiable responses)",
    "tokens": "response length, tokens",
    "truncated": "truncated share of responses",
    "repetition": "repeated 4-grams, share of tokens",
    "entropy": "mean token entropy, nats",
}
HELD_OUT = "held_out"
_BENCHMARK = re.compile(r"eval/(?P<benchmark>.+)/(?P<measure>[^/]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measure of one step."""

    run: str
    step: int
    measure: str  # of MEASURES, or the last part of an `eval/` metric
    group: str  # roots, branches, held_out, or the name of a benchmark
    value: float
    low: float | None  # 95 % interval over questions; None where there is none (intervals.py), or no question's own value is on disk
    high: float | None
    questions: int | None
    smooth: float  # mean of the steps around it


def trained_points(label: str, means: Sequence[QuestionMeans], window: int) -> list[Point]:
    """Every measure of every step, of roots and of branches; a step without the group, or the measure, has no point."""
    found = []
    for (group, measure), by_step in _by_step(means).items():
        estimates = {step: (over_questions(values, WITHIN[measure]), sum(v == v for v in values)) for step, values in by_step.items()}
        known = {step: (estimate, count) for step, (estimate, count) in estimates.items() if estimate is not None}
        smooth = smoothed({step: estimate.mean for step, (estimate, _) in known.items()}, window)
        found += [_point(label, step, measure, group, e, count, smooth[step]) for step, (e, count) in known.items()]
    return found


def logged_points(label: str, lines: Sequence[Mapping[str, Any]], manifest: Manifest) -> list[Point]:
    """Held-out accuracy and in-training benchmarks of metrics.jsonl, where they were measured; not smoothed, they are sparse.

    The interval of held-out accuracy is Wilson's for as many trials as questions, which is right for one sample per question and a little
    wide for more. Other metrics have none.
    """
    return [point for line in lines for point in _logged(label, line, manifest.held_out.samples)]


def as_rows(points: Sequence[Point]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of dynamics.csv."""
    header = ["run", "step", "measure", "group", "value", "low", "high", "questions", "smoothed"]
    numbers = [[p.value, p.low, p.high] for p in points]
    shown = [["" if number is None else f"{number:.6g}" for number in of_point] for of_point in numbers]
    rows = zip(points, shown, strict=True)
    return header, [[p.run, p.step, p.measure, p.group, *text, p.questions or "", f"{p.smooth:.6g}"] for p, text in rows]


def in_steps(means: Sequence[QuestionMeans], steps: Sequence[int], group: str, measure: str) -> Estimate | None:
    """A measure over the questions of some steps."""
    chosen = set(steps)
    values = per_question((m.question, getattr(m, measure)) for m in means if m.step in chosen and m.group == group)
    return over_questions(values, WITHIN[measure])


def _by_step(means: Sequence[QuestionMeans]) -> dict[tuple[str, str], dict[int, list[float]]]:
    found: dict[tuple[str, str], dict[int, list[float]]] = {}
    for (step, group), of_step in groupby(sorted(means, key=lambda m: (m.step, m.group)), key=lambda m: (m.step, m.group)):
        rows = list(of_step)
        for measure in MEASURES:
            found.setdefault((group, measure), {})[step] = [getattr(row, measure) for row in rows]
    return found


def _logged(label: str, line: Mapping[str, Any], samples: int) -> Iterator[Point]:
    for name, value in line.items():
        if value is None:
            continue
        if name == "held_out/accuracy":
            questions = held_out_questions(line, samples)
            yield _point(label, line["step"], "accuracy", HELD_OUT, wilson(value, questions), questions, value)
        elif match := _BENCHMARK.fullmatch(name):
            yield _point(label, line["step"], match["measure"], match["benchmark"], value, None, value)


def _point(run: str, step: int, measure: str, group: str, of: Estimate | float, questions: int | None, smooth: float) -> Point:
    value, low, high = (of.mean, of.low, of.high) if isinstance(of, Estimate) else (of, None, None)
    return Point(run=run, step=step, measure=measure, group=group, value=value, low=low, high=high, questions=questions, smooth=smooth)
