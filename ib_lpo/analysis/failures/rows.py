"""Scored trajectories of a run as `ib-lpo analyze failures` counts them: a record each, with what went wrong in it. Pure.

Kinds: the failure modes; `unexplained`, low without a mode; `not low`. A trajectory may show several modes and counts for each.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ib_lpo.analysis.bootstrap import Estimate
from ib_lpo.analysis.runs.intervals import over_questions
from ib_lpo.tree import Failure, FailureMode, IbScore

COLUMNS = ("tree", "question_id", "id", "parent", "prefix_ids", "token_ids", "status", "verdict", "reward", "ib", "failures")
UNEXPLAINED, NOT_LOW = "unexplained", "not low"
KINDS = (*map(str, FailureMode), UNEXPLAINED, NOT_LOW)


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
    def kinds(self) -> tuple[str, ...]:
        """Of KINDS, at least one."""
        if not self.low:
            return (NOT_LOW,)
        return tuple(str(failure.mode) for failure in self.failures) or (UNEXPLAINED,)


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
    """Header and rows of failures.csv: a row per low trajectory; informations in nats, evidence as response tokens [start, end)."""
    spans = [f"{mode}_{part}" for mode in FailureMode for part in ("start", "end", "measure")]
    terms = ["score", "relevance", "compression", "relevance_z", "compression_z"]
    header = ["step", "question", "id", "parent", "verdict", "reward", "status", "tokens", "response_tokens", *terms, "kinds", *spans]
    return header, [_csv_row(one, terms) for one in everyone if one.low]


def shares(everyone: Sequence[Scored], kind: str) -> dict[int, float]:
    """By step the share of scored trajectories that are of the kind."""
    found: dict[int, list[bool]] = {}
    for one in everyone:
        found.setdefault(one.step, []).append(kind in one.kinds)
    return {step: sum(of) / len(of) for step, of in found.items()}


def by_question(everyone: Sequence[Scored], kind: str, value: str) -> Estimate | None:
    """Mean of a number of Scored over the trajectories of a kind, questions of a step weighing the same; None without any."""
    found: dict[tuple[int, int], list[float]] = {}
    for one in everyone:
        number = getattr(one, value)
        if kind in one.kinds and not np.isnan(number):
            found.setdefault((one.step, one.tree), []).append(number)
    return over_questions([float(np.mean(of)) for of in found.values()])


def evidence_cover(everyone: Sequence[Scored], mode: str, places: np.ndarray) -> np.ndarray:
    """float64 [P]: share of the mode's trajectories whose evidence covers each relative place in [0, 1) of the response."""
    spans = [(f.start / one.response_tokens, f.end / one.response_tokens) for one in everyone for f in one.failures if f.mode == mode]
    covered = [(places >= start) & (places < end) for start, end in spans]
    return np.mean(covered, axis=0) if covered else np.zeros_like(places)


def _csv_row(one: Scored, terms: Sequence[str]) -> list[Any]:
    evidence: Mapping[str, Failure] = {str(failure.mode): failure for failure in one.failures}
    found = [evidence.get(mode) for mode in FailureMode]
    spans = [part for f in found for part in (("", "", "") if f is None else (f.start, f.end, f"{f.measure:.6g}"))]
    reward = "" if np.isnan(one.reward) else f"{one.reward:g}"
    about = [one.step, one.question, one.id, one.parent or "", one.verdict, reward, one.status, one.tokens, one.response_tokens]
    return [*about, *(f"{getattr(one.ib, term):.6g}" for term in terms), ";".join(one.kinds), *spans]
