"""The numbers of `ib-lpo analyze compare`: one set of Cells per run. Pure.

All of them are of the same steps in all runs: up to the last step that all have, and, for what trees tell, of the last tenth of those.
A difference is that of paired questions: it is there when two runs trained on the same questions in each of these steps.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ib_lpo.analysis.failures.rows import KINDS, LOW, NOT_LOW, Scores, Unit, Units, of_questions, shares
from ib_lpo.analysis.runs.intervals import ANY, SHARE, over_questions, wilson
from ib_lpo.analysis.runs.questions import WITHIN, QuestionMeans, held_out_questions
from ib_lpo.bootstrap import Estimate

_TRAINED = {
    "reward": "training reward",
    "accuracy": "training accuracy (of verifiable)",
    "tokens": "response tokens",
    "truncated": "truncated share",
    "repetition": "repeated 4-grams, share of tokens",
    "entropy": "mean token entropy, nats",
}
_TOTALS = {"forks": "grow/forks", "sampled tokens": "grow/tokens"}
_SHARE = "{}, share of scored"
_FAILURES = {_SHARE.format("low S_IB"): LOW} | {_SHARE.format(kind.replace("_", " ")): kind for kind in KINDS if kind != NOT_LOW}
_WITHIN = {title: WITHIN.get(name, ANY) for name, title in _TRAINED.items()} | dict.fromkeys(_FAILURES, SHARE)
_OUTSIDE = ("held_out", "evaluation", "eval", "checkpoint")  # phases that are no part of a training step


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A measure of a run."""

    value: float
    low: float | None = None  # 95 % interval; None where no question's own value is on disk
    high: float | None = None
    questions: int | None = None  # the interval rests on so many; one that came in several steps counts once
    difference: Estimate | None = None  # from the first run, of paired questions
    pairs: int | None = None  # the difference rests on so many questions


Cells = dict[str, Cell]
"""By measure, in order."""


def trained_units(means: Iterable[QuestionMeans]) -> dict[str, Units]:
    """By measure, roots and branches apart, a value per question of a step; one that came twice in a step counts with its mean."""
    found: dict[str, dict[Unit, list[float]]] = {}
    for one in means:
        for name, title in _TRAINED.items():
            unit: Unit = one.step, "\n".join(one.question)
            found.setdefault(f"{title}: {one.group}", {}).setdefault(unit, []).append(getattr(one, name))
    return {measure: {unit: float(np.mean(values)) for unit, values in of.items()} for measure, of in found.items()}


def failure_units(scores: Scores) -> dict[str, Units]:
    """Share of a question's scored branches (or roots, where nothing else has a score) that are low, and that show each mode."""
    if not scores.members:
        return {}
    return {f"{title}: {scores.group}": shares(scores.members, kind) for title, kind in _FAILURES.items()}


def cells_of(units: Mapping[str, Units], first: Mapping[str, Units] | None) -> Cells:
    """Means over questions, and paired differences from the run that `first` is of."""
    found: Cells = {}
    for measure, of in units.items():
        values = of_questions(of)
        estimate = over_questions(values, _WITHIN.get(measure.rpartition(":")[0], ANY))
        if estimate is not None:
            cell = Cell(value=estimate.mean, low=estimate.low, high=estimate.high, questions=len(values))
            pairs = [] if first is None else differences(of, first.get(measure, {}))
            found[measure] = replace(cell, difference=over_questions(pairs), pairs=len(pairs) or None)
    return found


def differences(values: Units, base: Units) -> list[float]:
    """Of every question, its mean difference over the steps; none when they are not the same questions in the same steps."""
    return of_questions({unit: values[unit] - base[unit] for unit in values}) if values.keys() == base.keys() else []


def held_out_cells(lines: Sequence[Mapping[str, Any]], samples: int) -> Cells:
    """Held-out accuracy at its first, last and best check; `samples`: held_out.samples. Intervals: Wilson's, trials are questions."""
    checks = [(line["held_out/accuracy"], line) for line in lines if line.get("held_out/accuracy") is not None]
    if not checks:
        return {}
    best = max(checks, key=lambda check: check[0])
    found = {}
    for name, (value, line) in {"first": checks[0], "last": checks[-1], "best": best}.items():
        questions = held_out_questions(line, samples)
        e = wilson(value, questions)
        found[f"held-out accuracy: {name}"] = Cell(value=value, low=e.low, high=e.high, questions=questions)
    return found


def logged_cells(lines: Sequence[Mapping[str, Any]]) -> Cells:
    """Totals, seconds per step and the last benchmarks in training, from metrics.jsonl without its step 0; no intervals."""
    found = {name: Cell(value=_total(lines, metric)) for name, metric in _TOTALS.items()}
    found["forks per root"] = Cell(value=_total(lines, "grow/forks") / max(1.0, _total(lines, "grow/roots")))
    spent = [sum(v for name, v in line.items() if _in_training(name) and v is not None) for line in lines if line["step"] > 0]
    if spent:
        found["seconds per step, median"] = Cell(value=float(np.median(spent)))
    last = {name: value for line in lines for name, value in line.items() if name.startswith("eval/") and value is not None}
    return found | {f"in training, {name.removeprefix('eval/')}": Cell(value=value) for name, value in last.items()}


def evaluated_cells(results: Any) -> Cells:
    """The estimates of an evaluation's results.json, whatever of it can be read as such."""
    found: Cells = {}
    for benchmark, of in _mapping(_mapping(results).get("benchmarks")).items():
        for name, estimate in _mapping(_mapping(of).get("estimates")).items():
            ends = [_mapping(estimate).get(part) for part in ("mean", "low", "high")]
            if all(isinstance(end, int | float) for end in ends):
                value, low, high = ends
                found[f"eval, {benchmark}/{name}"] = Cell(value=value, low=low, high=high, questions=_mapping(of).get("questions"))
    return found


def _in_training(name: str) -> bool:
    return name.startswith("seconds/") and name.removeprefix("seconds/") not in _OUTSIDE


def _total(lines: Sequence[Mapping[str, Any]], metric: str) -> float:
    return float(sum(line.get(metric) or 0.0 for line in lines))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
