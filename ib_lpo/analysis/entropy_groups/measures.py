"""How continuations differ, by group of entropy and decoding strategy: measures of every root, and their means with intervals; pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ib_lpo import seeds
from ib_lpo.analysis.latent.effects import Branch
from ib_lpo.bootstrap import Estimate, bootstrap
from ib_lpo.diversity import measures as diversity
from ib_lpo.diversity.ngrams import distinct, ngrams
from ib_lpo.latent.encoders import PrefixEncoder
from ib_lpo.tree import Verdict

NGRAM = 4
MEASURES = {
    "first_differs": ("first tokens that differ", "share of pairs"),
    "shared": ("tokens until two part", "tokens"),
    "distinct_4": ("distinct-4 at equal tokens", "share"),
    **{
        name: (one.title, one.unit)
        for name, one in diversity.MEASURES.items()
        if name not in ("distinct_1", "distinct_4")  # they fall with length, which differs
    },
    "accuracy": ("accuracy", "share"),
    "answered": ("with an answer", "share"),
    "tokens": ("new tokens", "tokens"),
}
"""Title and unit by name."""

Cell = tuple[str, str]
"""Group and strategy."""
Sets = Mapping[Cell, Sequence[Sequence[Sequence[Branch]]]]
"""By root, then by position of the group: the K continuations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measure of a group under a strategy, or of the difference between two groups."""

    group: str
    strategy: str
    measure: str
    estimate: Estimate
    roots: int  # that have it


def measured(sets: Sets, encoder: PrefixEncoder) -> dict[Cell, dict[str, np.ndarray]]:
    """Measures float64 [roots] by cell, means over a root's positions; nan where undefined.

    distinct_4 of a root is taken at the number of 4-grams that its shortest set has, of all groups and strategies; nan where that is none.
    """
    sizes = _sizes(sets)
    return {cell: _of_cell(of_roots, sizes, encoder) for cell, of_roots in sets.items()}


def _sizes(sets: Sets) -> list[int]:
    """4-grams of each root's shortest set."""
    return [
        min(sum(max(0, len(branch.token_ids) - NGRAM + 1) for branch in of) for cell in of_root for of in cell)
        for of_root in zip(*sets.values(), strict=True)
    ]


def _of_cell(of_roots: Sequence[Sequence[Sequence[Branch]]], sizes: list[int], encoder: PrefixEncoder) -> dict[str, np.ndarray]:
    features = iter(encoder([branch.token_ids for root in of_roots for of in root for branch in of]).numpy())
    found: dict[str, list[float]] = {name: [] for name in MEASURES}
    for root, size in zip(of_roots, sizes, strict=True):
        values = [_of_set(of, size, np.stack([next(features) for _ in of])) for of in root]
        for name, column in found.items():
            known = [one[name] for one in values if name in one]
            column.append(float(np.mean(known)) if known else np.nan)
    return {name: np.array(column) for name, column in found.items()}


def _of_set(branches: Sequence[Branch], size: int, features: np.ndarray) -> dict[str, float]:
    """Measures of the K continuations of one position, those that are defined."""
    ids = [branch.token_ids.tolist() for branch in branches]
    found = diversity.measure(ids, [b.text for b in branches], [b.answer for b in branches], features)
    found.pop("distinct_4", None)
    if size:
        found["distinct_4"] = distinct(ngrams(ids, NGRAM), size)
    return found | {
        "first_differs": float(np.mean([one[0] != other[0] for one, other in combinations(ids, 2)])),
        "shared": float(np.mean([_shared(one, other) for one, other in combinations(ids, 2)])),
        "accuracy": float(np.mean([branch.verdict is Verdict.CORRECT for branch in branches])),
        "answered": float(np.mean([branch.answer is not None for branch in branches])),
        "tokens": float(np.mean([len(of) for of in ids])),
    }


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """First tokens that two continuations have in common."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def estimates(values: Mapping[Cell, Mapping[str, np.ndarray]], *, resamples: int, seed: int) -> list[Row]:
    """Means over roots with 95 % bootstrap intervals, of every cell and of each strategy's last group minus its first, root by root."""
    groups, strategies = (list(dict.fromkeys(part)) for part in zip(*values, strict=True))
    columns = {(g, s, name): values[g, s][name] for g in groups for s in strategies for name in MEASURES}
    first, last = groups[0], groups[-1]
    columns |= {(difference(groups), s, name): values[last, s][name] - values[first, s][name] for s in strategies for name in MEASURES}
    return list(_rows(columns, resamples, seed))


def _rows(columns: Mapping[tuple[str, str, str], np.ndarray], resamples: int, seed: int) -> Iterator[Row]:
    for (group, strategy, name), column in columns.items():
        known = column[np.isfinite(column)]
        if known.size:
            rng = seeds.generator(seed, "analysis", "bootstrap", name)
            yield Row(
                group=group, strategy=strategy, measure=name, estimate=bootstrap(known, resamples=resamples, rng=rng), roots=known.size
            )


def difference(groups: Sequence[str]) -> str:
    """Name of the difference between the last and the first group."""
    return f"{groups[-1]} - {groups[0]}"
