"""The numbers of failures.png, and failures_summary.csv, from which each of its panels can be drawn again. Pure.

Every question weighs the same; only the quantiles of S_IB are of trajectories.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ib_lpo.analysis.failures.rows import KINDS, Scored, Scores, by_question, evidence_cover, of_questions, over_steps, shares
from ib_lpo.analysis.runs.directories import smoothed, window_of
from ib_lpo.analysis.runs.intervals import AMOUNT, ANY, SHARE, numbers, over_questions
from ib_lpo.bootstrap import Estimate
from ib_lpo.tree import FailureMode

MEANS = {"score": ANY, "reward": ANY, "response_tokens": AMOUNT, "tokens": AMOUNT}
"""By number of Scored, what it can be."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
PLACES = np.linspace(0.0, 1.0, 101)[:-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What the trajectories of one kind are like."""

    name: str  # of KINDS
    trajectories: int
    questions: int
    share: Estimate | None  # of a question's scored trajectories
    steps: dict[int, Estimate]  # the share by step
    smooth: dict[int, float]
    means: dict[str, Estimate | None]  # of MEANS
    quantiles: list[float]  # of S_IB, at QUANTILES
    cover: np.ndarray | None  # float64 [P], at PLACES; None for what is no mode


def summarised(scores: Scores) -> list[Kind]:
    """The kinds that occur."""
    return [_kind(scores.members, kind) for kind in KINDS if any(one.shows(kind) for one in scores.members)]


def summary_rows(kinds: Sequence[Kind], group: str) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of failures_summary.csv; `at` is a step, a quantile or a place in the response."""
    rows = [[group, kind.name, *row] for kind in kinds for row in _rows(kind)]
    return ["group", "kind", "measure", "at", "value", "low", "high", "trajectories", "questions"], rows


def _kind(everyone: Sequence[Scored], name: str) -> Kind:
    units, scores = shares(everyone, name), [one.score for one in everyone if one.shows(name)]
    steps = over_steps(units)
    return Kind(
        name=name,
        trajectories=len(scores),
        questions=len(by_question(everyone, name, "score")),
        share=over_questions(of_questions(units), SHARE),
        steps=steps,
        smooth=smoothed({step: of.mean for step, of in steps.items()}, window_of(steps)),
        means={value: over_questions(by_question(everyone, name, value), within) for value, within in MEANS.items()},
        quantiles=np.quantile(scores, QUANTILES).tolist(),
        cover=evidence_cover(everyone, name, PLACES) if name in list(FailureMode) else None,
    )


def _rows(kind: Kind) -> list[list[Any]]:
    counts = [kind.trajectories, kind.questions]
    rows = [["share", "", *numbers(kind.share), *counts]]
    rows += [["share", step, *numbers(of), "", ""] for step, of in kind.steps.items()]
    rows += [["share, smoothed", step, f"{value:.6g}", "", "", "", ""] for step, value in kind.smooth.items()]
    rows += [[f"mean {value}", "", *numbers(of), *counts] for value, of in kind.means.items()]
    rows += [["score quantile", at, f"{value:.6g}", "", "", *counts] for at, value in zip(QUANTILES, kind.quantiles, strict=True)]
    cover = [] if kind.cover is None else kind.cover
    return rows + [["evidence", f"{at:g}", f"{value:.6g}", "", "", *counts] for at, value in zip(PLACES, cover, strict=False)]
