"""Scored trajectories of a run as `ib-lpo analyze failures` counts them: a record each, with what went wrong in it. Pure.

Kinds: the failure modes; `unexplained`, low without a mode; `not low`. A trajectory may show several modes and counts for each. Roots and
branches are ranked apart, so they are never counted together: where branches have scores, they alone are looked at.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ib_lpo.analysis.runs.intervals import SHARE, over_questions, per_question
from ib_lpo.bootstrap import Estimate
from ib_lpo.tree import Failure, FailureMode, IbScore

COLUMNS = ("tree", "question_id", "id", "parent", "prefix_ids", "token_ids", "status", "verdict", "reward", "ib", "failures")
UNEXPLAINED, NOT_LOW, LOW = "unexplained", "not low", "low"
KINDS = (*map(str, FailureMode), UNEXPLAINED, NOT_LOW)
Unit = tuple[int, str]
"""A step and a question in it."""
Units = dict[Unit, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A trajectory with S_IB."""

    step: int
    tree: int  # index in the step
    question: str  # id
    id: str
    parent: str | None
    tokens: int  # generated for it alone
    response_tokens: int  # with its prefix
    status: str
    verdict: str
    reward: float  # nan without one
    ib: IbScore  # without its profile
    low: bool
    failures: tuple[Failure, ...]

    @property
    def score(self) -> float:
        return self.ib.score

    def shows(self, kind: str) -> bool:
        """`kind`: of KINDS, or LOW."""
        return self.low if kind == LOW else kind in self.kinds

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of KINDS, at least one."""
        if not self.low:
            return (NOT_LOW,)
        return tuple(str(failure.mode) for failure in self.failures) or (UNEXPLAINED,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The trajectories of a run that are looked at, and how many are not."""

    group: str  # branches or roots
    members: list[Scored]
    roots: int  # left out beside branches
    unusable: int  # left out: S_IB is no finite number


def compared(everyone: Sequence[Scored]) -> Scores:
    """The branches, or the roots where no branch has a score."""
    usable = [one for one in everyone if np.isfinite(one.ib.score)]
    branches = [one for one in usable if one.parent is not None]
    members = branches or usable
    return Scores(
        group="branches" if branches else "roots",
        members=members,
        roots=len(usable) - len(members),
        unusable=len(everyone) - len(usable),
    )


def scored(step: int, rows: Sequence[dict[str, Any]], below: float) -> Iterator[Scored]:
    """Those of one step's trajectories that have a score; `below`: ib.failures.below. The rows hold COLUMNS."""
    for row in rows:
        if row["ib"] is not None:
            yield Scored(
                step=step,
                tree=row["tree"],
                question=row["question_id"],
                id=row["id"],
                parent=row["parent"],
                tokens=row["token_ids"].size,
                response_tokens=row["prefix_ids"].size + row["token_ids"].size,
                status=str(row["status"]),
                verdict=str(row["verdict"] or ""),
                reward=np.nan if row["reward"] is None else row["reward"],
                ib=replace(row["ib"], profile_at=(), profile=()),
                low=row["ib"].score < below,
                failures=row["failures"] or (),
            )


def csv_rows(everyone: Sequence[Scored]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of failures.csv: a row per low trajectory; evidence as response tokens [start, end)."""
    spans = [f"{mode}_{part}" for mode in FailureMode for part in ("start", "end", "measure")]
    terms = ["score", "relevance", "compression", "relevance_z", "compression_z"]
    header = ["step", "question", "id", "parent", "verdict", "reward", "status", "tokens", "response_tokens", *terms, "kinds", *spans]
    return header, [_csv_row(one, terms) for one in everyone if one.low]


def shares(everyone: Sequence[Scored], kind: str) -> Units:
    """Of every step's questions the share of scored trajectories that are of the kind."""
    return _unit_means([(one, float(one.shows(kind))) for one in everyone])


def over_steps(units: Units) -> dict[int, Estimate]:
    """By step the mean over its questions."""
    steps = dict.fromkeys(step for step, _ in units)
    estimates = {step: over_questions([value for (at, _), value in units.items() if at == step], SHARE) for step in steps}
    return {step: estimate for step, estimate in estimates.items() if estimate is not None}


def by_question(everyone: Sequence[Scored], kind: str, value: str) -> list[float]:
    """Of every question with trajectories of a kind, their mean of a number of Scored."""
    return of_questions(_unit_means([(one, getattr(one, value)) for one in everyone if one.shows(kind)]))


def of_questions(units: Units) -> list[float]:
    """Of every question that has a value its mean over the steps."""
    return per_question((question, value) for (_, question), value in units.items())


def evidence_cover(everyone: Sequence[Scored], mode: str, places: np.ndarray) -> np.ndarray:
    """float64 [P]: share of a question's evidence of the mode that covers each relative place in [0, 1) of the response, mean over the
    questions that have any."""
    covered: dict[str, list[np.ndarray]] = {}
    for one in everyone:
        for f in one.failures:
            if f.mode == mode:
                start, end = f.start / one.response_tokens, f.end / one.response_tokens
                covered.setdefault(one.question, []).append((places >= start) & (places < end))
    return np.mean([np.mean(of, axis=0) for of in covered.values()], axis=0) if covered else np.zeros_like(places)


def _unit_means(values: Sequence[tuple[Scored, float]]) -> Units:
    found: dict[Unit, list[float]] = {}
    for one, value in values:
        if not np.isnan(value):
            found.setdefault((one.step, one.question), []).append(value)
    return {unit: float(np.mean(of)) for unit, of in found.items()}


def _csv_row(one: Scored, terms: Sequence[str]) -> list[Any]:
    evidence: Mapping[str, Failure] = {str(failure.mode): failure for failure in one.failures}
    found = [evidence.get(mode) for mode in FailureMode]
    spans = [part for f in found for part in (("", "", "") if f is None else (f.start, f.end, f"{f.measure:.6g}"))]
    reward = "" if np.isnan(one.reward) else f"{one.reward:g}"
    about = [one.step, one.question, one.id, one.parent or "", one.verdict, reward, one.status, one.tokens, one.response_tokens]
    return [*about, *(f"{getattr(one.ib, term):.6g}" for term in terms), ";".join(one.kinds), *spans]
