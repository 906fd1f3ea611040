"""The findings as tables, for the terminal and for docs/estimators.md."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import rich.table

from estimator_study.cases import CASES
from estimator_study.scoring import Scoring
from estimator_study.statistics import Estimate, auc, over_all, spearman, within
from estimator_study.study import NO_LEAD, Findings, Sample
from ib_lpo.scoring.estimators import ESTIMATORS
from ib_lpo.tree import RolloutTree

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The first column is text, the others are figures."""

    title: str
    note: str
    header: Row
    rows: list[Row]

    def markdown(self) -> str:
        """A section with a table."""
        lines = [f"### {self.title}", "", self.note, "", f"| {' | '.join(self.header)} |", "|---|" + "---:|" * (len(self.header) - 1)]
        return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in self.rows), ""])

    def terminal(self) -> rich.table.Table:
        shown = rich.table.Table(title=self.title, title_justify="left", caption=self.note, caption_justify="left")
        for number, column in enumerate(self.header):
            shown.add_column(column, justify="right" if number else "left")
        for row in self.rows:
            shown.add_row(*row)
        return shown


def tables(found: Findings) -> list[Table]:
    """All of them."""
    main = {name: scoring for name, scoring in found.of_sample.items() if name in ESTIMATORS}
    return [
        of_cases(found.cases, found.of_cases),
        overall(f"All {len(found.sample.ids)} trajectories together", found.sample, main),
        inside("Within questions", found.sample, main),
        agreement(found.sample, main),
        answers_reached(found.sample, main["pmi"]),
        leads(found.sample, {name: found.of_sample[name] for name in ("pmi", NO_LEAD)}),
        cost(found.sample, main),
    ]


def case_order(scoring: Scoring, tree: RolloutTree) -> list[int]:
    """Rank of each of CASES by S_IB, from 1."""
    scores = [scoring.scores[t.id].score for t in tree.trajectories]
    return [1 + sum(other > score for other in scores) for score in scores]


def of_cases(tree: RolloutTree, scorings: Mapping[str, Scoring]) -> Table:
    rows: list[Row] = []
    for name, scoring in scorings.items():
        for case, trajectory, rank in zip(CASES, tree.trajectories, case_order(scoring, tree), strict=True):
            s = scoring.scores[trajectory.id]
            figures = (s.relevance, s.compression, s.relevance_z, s.compression_z, s.score)
            signed = [f"{figure:+.3f}" for figure in figures[:2]] + [f"{figure:+.2f}" for figure in figures[2:]]
            rows.append((f"{name}: {case.name}", str(trajectory.token_ids.size), *signed, str(rank), f"{case.published:+.2f}"))
    expected = list(range(1, len(CASES) + 1))
    as_published = [name for name, scoring in scorings.items() if case_order(scoring, tree) == expected]
    return Table(
        title="The four cases",
        note=f"In the published order: {', '.join(as_published) or 'none'}. z and S_IB over the four as siblings; terms in nats.",
        header=("estimator: case", "tokens", "I(r;a)", "I(q;r)", "z I(r;a)", "z I(q;r)", "S_IB", "rank", "published S_IB"),
        rows=rows,
    )


def overall(title: str, sample: Sample, scorings: Mapping[str, Scoring]) -> Table:
    """Terms as they are, nats; S without z-scoring."""
    rows = []
    for name, values in quantities(sample, scorings, of_siblings=False):
        figures = (over_all(statistic, values, target, sample.question) for statistic, target in _questions_asked(sample))
        rows.append((name, *_shown(*figures)))
    return Table(
        title=title,
        note=f"{int(sample.right.sum())} right, {len(set(sample.question))} questions. S = beta I(r;a) - I(q;r) of the terms as they are. "
        "rho: Spearman's rank correlation. AUC: share of pairs of a right and a wrong trajectory in which the right one has more of it.",
        header=("quantity", "rho with correctness", "AUC of correctness", "rho with length"),
        rows=rows,
    )


def inside(title: str, sample: Sample, scorings: Mapping[str, Scoring]) -> Table:
    """S as the filter uses it, z-scored among siblings; means over questions."""
    rows, defined = [], []
    for name, values in quantities(sample, scorings, of_siblings=True):
        results = [within(statistic, values, target, sample.question) for statistic, target in _questions_asked(sample)]
        defined.append([count for _, count in results])
        rows.append((name, *_shown(*(figure for figure, _ in results))))
    most = np.max(defined, axis=0)
    return Table(
        title=title,
        note=f"Means over the questions in which a figure is defined: {most[0]} with right and wrong trajectories, {most[2]} with "
        "different lengths. S is S_IB as the filter uses it.",
        header=("quantity", "rho with correctness", "AUC of correctness", "rho with length"),
        rows=rows,
    )


def quantities(sample: Sample, scorings: Mapping[str, Scoring], *, of_siblings: bool) -> list[tuple[str, np.ndarray]]:
    """Score and terms of every estimator, in the order of the sample, constant terms left out; two plain quantities for comparison."""
    found = []
    for name, scoring in scorings.items():
        held = [scoring.scores[i] for i in sample.ids]
        score = [s.score for s in held] if of_siblings else [scoring.raw(i) for i in sample.ids]
        named = {f"{name}: S": score, f"{name}: I(r;a)": [s.relevance for s in held], f"{name}: -I(q;r)": [-s.compression for s in held]}
        found += [(label, np.array(values)) for label, values in named.items() if np.ptp(values) > 0]
    compared = {"brevity: -length": -sample.tokens, "gold number in the reasoning": sample.reached}
    return [*found, *((label, values.astype(float)) for label, values in compared.items())]


def agreement(sample: Sample, scorings: Mapping[str, Scoring]) -> Table:
    rows = []
    for one, other in combinations(scorings, 2):
        raw = (np.array([scorings[name].raw(i) for i in sample.ids]) for name in (one, other))
        z = (np.array([scorings[name].scores[i].score for i in sample.ids]) for name in (one, other))
        rows.append((f"{one}, {other}", _rho(over_all(spearman, *raw, sample.question)), _rho(within(spearman, *z, sample.question)[0])))
    return Table(
        title="Between estimators",
        note="Spearman's rank correlation of S over all trajectories, and of S_IB as the mean over questions in which both differ.",
        header=("estimators", "all trajectories", "within questions"),
        rows=rows,
    )


def answers_reached(sample: Sample, scoring: Scoring) -> Table:
    """How much more than the mention of the gold number I(r;a) sees."""
    relevance = np.array([scoring.scores[i].relevance for i in sample.ids])
    groups = {
        "right": sample.right,
        "wrong, gold number in the reasoning": ~sample.right & sample.reached,
        "wrong, without it": ~sample.right & ~sample.reached,
    }
    held = sample.reached
    area = over_all(auc, relevance[held], sample.right[held], sample.question[held])
    return Table(
        title="Is I(r;a) more than the mention of the gold number?",
        note=f"I(r;a) of pmi, nats per answer token; {int((sample.right & held).sum())} of {int(sample.right.sum())} right trajectories "
        f"have the gold number in the reasoning. AUC of correctness among the {int(held.sum())} that have it: {area.shown('')}.",
        header=("trajectories", "number", "mean I(r;a)", "lowest", "highest"),
        rows=[(name, str(int(of.sum())), *_spread(relevance[of])) for name, of in groups.items()],
    )


def leads(sample: Sample, scorings: Mapping[str, Scoring]) -> Table:
    """The line break before the gold answer against none, on trajectories it was not chosen on."""
    relevances = {name: np.array([scoring.scores[i].relevance for i in sample.ids]) for name, scoring in scorings.items()}
    difference = over_all(_auc_difference, np.stack(list(relevances.values()), axis=1), sample.right, sample.question)
    rows = []
    for name, scoring in scorings.items():
        raw, z = (np.array([of(i) for i in sample.ids]) for of in (scoring.raw, lambda i, held=scoring.scores: held[i].score))
        for term, everywhere, among in (("S", raw, z), ("I(r;a)", relevances[name], relevances[name])):
            areas = over_all(auc, everywhere, sample.right, sample.question), within(auc, among, sample.right, sample.question)[0]
            length = over_all(spearman, everywhere, sample.tokens, sample.question)
            rows.append((f"{name}: {term}", *(area.shown("") for area in areas), _rho(length)))
    return Table(
        title="What stands before the gold answer",
        note=f"`pmi` has a line break there (the default), `{NO_LEAD}` nothing. AUC of I(r;a) with less without: {_rho(difference)}.",
        header=("quantity", "AUC, all trajectories", "AUC, within questions", "rho with length"),
        rows=rows,
    )


def cost(sample: Sample, scorings: Mapping[str, Scoring]) -> Table:
    def row(name: str, held: Scoring) -> Row:
        count, (forwarded, flat) = len(held.scores), held.cost
        per_token = f"{forwarded / count / sample.tokens.mean():.1f}"
        return (
            name,
            f"{forwarded / count:,.0f}",
            per_token,
            f"{flat / count:,.0f}",
            f"{held.wall_s / count:.2f}",
            f"{held.cpu_s / count:.2f}",
        )

    return Table(
        title="Cost per trajectory",
        note="Tokens through the scoring model, those that every pass on its own would take, and seconds: wall, of the CPU.",
        header=("estimator", "tokens forwarded", "per response token", "without sharing", "wall s", "CPU s"),
        rows=[row(name, scoring) for name, scoring in scorings.items()],
    )


def _auc_difference(both: np.ndarray, right: np.ndarray) -> float:
    """`both`: float [N, 2]."""
    return auc(both[:, 0], right) - auc(both[:, 1], right)


def _spread(values: np.ndarray) -> Row:
    return tuple(f"{figure(values):+.2f}" for figure in (np.mean, np.min, np.max)) if values.size else ("-", "-", "-")


def _questions_asked(sample: Sample) -> tuple:
    return (spearman, sample.right.astype(float)), (auc, sample.right), (spearman, sample.tokens.astype(float))


def _shown(right: Estimate, area: Estimate, length: Estimate) -> Row:
    return _rho(right), area.shown(""), _rho(length)


def _rho(found: Estimate) -> str:
    return found.shown("+")
