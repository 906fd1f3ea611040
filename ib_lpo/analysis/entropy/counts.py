"""Token entropies of a run, counted in bins: what `ib-lpo analyze entropy` draws. Pure.

Pooled are the tokens of roots. Branches are left out: they go on from the run's most hesitant places, some of them under z, so that their
tokens are no sample of what the policy does. Entropies are of the raw distribution (temperature 1), at places that were reached by sampling
at the run's own temperature.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ib_lpo.analysis.runs.directories import tenth
from ib_lpo.analysis.runs.intervals import AMOUNT, numbers, over_questions
from ib_lpo.bootstrap import Estimate

COLUMNS = ("question_id", "tree", "parent", "entropies", "fork")
_LOW, _HIGH, _PER_DECADE = -4, 1.2, 5  # 1e-4 to 16 nats, above ln of any vocabulary
EDGES = np.concatenate([[0.0], np.logspace(_LOW, _HIGH, round((_HIGH - _LOW) * _PER_DECADE) + 1)])
"""float64 [B + 1], nats; bin b holds EDGES[b] <= H < EDGES[b + 1], the first one all below 1e-4."""


@dataclass(slots=True, kw_only=True)
class StepEntropies:
    """The entropies of one step."""

    step: int
    counts: np.ndarray  # int64 [B], root tokens
    total: float  # sum over root tokens, nats
    above: int  # root tokens of at least the floor
    question_means: dict[str, float]  # nats, of the root tokens of each question, by its id
    forks: list[float]  # nats, once per fork

    @property
    def tokens(self) -> int:
        return int(self.counts.sum())

    @property
    def over_questions(self) -> Estimate | None:
        """Mean over questions, nats, with its interval."""
        return over_questions(list(self.question_means.values()), AMOUNT)


@dataclass(slots=True, kw_only=True)
class Pool:
    """Entropies of several steps together."""

    steps: tuple[int, int]  # first and last
    counts: np.ndarray  # int64 [B]
    total: float
    above: int
    questions: int  # one that came in several steps counts once
    forks: np.ndarray = field(default_factory=lambda: np.zeros(0))  # float64 [F], nats

    @property
    def tokens(self) -> int:
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        return self.total / max(1, self.tokens)

    @property
    def above_share(self) -> float:
        """Share of tokens of at least the floor."""
        return self.above / max(1, self.tokens)

    @property
    def shares(self) -> np.ndarray:
        """float64 [B], sums to 1."""
        return self.counts / max(1, self.tokens)

    @property
    def exceeding(self) -> np.ndarray:
        """float64 [B + 1]: share of tokens of at least EDGES[b]."""
        return np.concatenate([self.shares[::-1].cumsum()[::-1], [0.0]])


def count(values: np.ndarray) -> np.ndarray:
    """int64 [B] of entropies [T], nats; what lies outside the edges (a rounding error below 0) is counted in the end bins."""
    bins = np.clip(np.searchsorted(EDGES, values, side="right") - 1, 0, len(EDGES) - 2)
    return np.bincount(bins, minlength=len(EDGES) - 1)


def of_step(step: int, rows: Sequence[dict[str, Any]], floor: float) -> StepEntropies:
    """The entropies of one step's trajectories, which hold COLUMNS."""
    of_roots: dict[str, list[np.ndarray]] = {}
    for row in rows:
        if row["parent"] is None:
            of_roots.setdefault(row["question_id"], []).append(row["entropies"])
    questions = {question: np.concatenate(of).astype(np.float64) for question, of in of_roots.items()}
    tokens = np.concatenate([*questions.values(), np.zeros(0)])
    forks = {(row["tree"], row["parent"], row["fork"].position): row["fork"].entropy for row in rows if row["fork"] is not None}
    return StepEntropies(
        step=step,
        counts=count(tokens),
        total=float(tokens.sum()),
        above=int((tokens >= floor).sum()),
        question_means={question: float(of.mean()) for question, of in questions.items() if of.size},
        forks=list(forks.values()),
    )


def pooled(steps: Iterable[StepEntropies]) -> Pool:
    """All of the steps, at least one."""
    of = list(steps)
    return Pool(
        steps=(of[0].step, of[-1].step),
        counts=np.sum([one.counts for one in of], axis=0),
        total=sum(one.total for one in of),
        above=sum(one.above for one in of),
        questions=len({question for one in of for question in one.question_means}),
        forks=np.array([entropy for one in of for entropy in one.forks]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEntropies:
    """A run's steps, and what they are pooled into."""

    floor: float  # branching.floor of the run, nats
    steps: list[StepEntropies]  # ascending, at least one

    @property
    def parts(self) -> dict[str, Pool]:
        """All steps, the first tenth of them and the last."""
        count = tenth(self.steps)
        chosen = {"all": self.steps, "early": self.steps[:count], "late": self.steps[-count:]}
        return {part: pooled(of) for part, of in chosen.items()}


def histogram_rows(runs: Mapping[str, RunEntropies]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of entropy.csv; bins in nats."""
    counted = {
        (label, part): counts
        for label, run in runs.items()
        for part, counts in [*((name, pool.counts) for name, pool in run.parts.items()), ("forks", count(run.parts["all"].forks))]
    }
    rows = [
        [label, part, f"{EDGES[b]:.6g}", f"{EDGES[b + 1]:.6g}", int(number), f"{number / max(1, counts.sum()):.6g}"]
        for (label, part), counts in counted.items()
        for b, number in enumerate(counts)
    ]
    return ["run", "part", "from", "below", "count", "share"], rows


def step_rows(runs: Mapping[str, RunEntropies]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of entropy_steps.csv; nats."""
    header = ["run", "step", "root_tokens", "mean", "floor", "share_above_floor", "forks", "mean_at_forks"]
    header += ["questions", "question_mean", "low", "high"]
    return header, [[label, one.step, one.tokens, *_step(one, run.floor)] for label, run in runs.items() for one in run.steps]


def _step(one: StepEntropies, floor: float) -> list[Any]:
    mean, above = one.total / max(1, one.tokens), one.above / max(1, one.tokens)
    forks = [len(one.forks), f"{np.mean(one.forks):.6g}" if one.forks else ""]
    return [f"{mean:.6g}", f"{floor:g}", f"{above:.6g}", *forks, len(one.question_means), *numbers(one.over_questions)]
