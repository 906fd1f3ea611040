"""Variants compared over seeds: means, and paired differences to the baseline; pure.

A pair is two runs of the same processor, starting weights, model seed and run seed. What these do to accuracy cancels
in the difference, so its interval is narrower than those of the means.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ib_lpo.bootstrap import Estimate
from ib_lpo.study.intervals import t_interval
from ib_lpo.study.measures import measured
from ib_lpo.study.record import Result

Key = tuple[str, str | None, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A measure of a variant."""

    mean: Estimate | None  # over its runs
    runs: int
    difference: Estimate | None  # to the baseline, over pairs; None without any, and of the baseline itself
    pairs: int


Cells = dict[str, dict[str, Cell]]
"""By variant, then by measure."""


def compare(results: Mapping[str, Sequence[Result]], baseline: str, budget: float) -> Cells:
    """`results`: by variant, those that are there; variants without any have no cells."""
    values = {variant: {_key(result): measured(result, budget) for result in of} for variant, of in results.items()}
    base = values.get(baseline, {})
    found: Cells = {}
    for variant, runs in values.items():
        measures = dict.fromkeys(name for of_run in runs.values() for name in of_run)
        found[variant] = {name: _cell(runs, {} if variant == baseline else base, name) for name in measures}
    return found


def pairs_of(results: Mapping[str, Sequence[Result]], baseline: str) -> dict[str, int]:
    """By variant other than the baseline, its runs that have a partner."""
    base = results.get(baseline, ())
    return {variant: len(partners(of, base)) for variant, of in results.items() if variant != baseline}


def partners(runs: Sequence[Result], base: Sequence[Result]) -> list[tuple[Result, Result]]:
    """Pairs of a run and its partner among the baseline's."""
    found = {_key(result): result for result in base}
    return [(run, found[_key(run)]) for run in runs if _key(run) in found]


def _key(result: Result) -> Key:
    return result.processor, result.model, result.model_seed, result.run_seed


def _cell(runs: Mapping[Key, Mapping[str, float]], base: Mapping[Key, Mapping[str, float]], name: str) -> Cell:
    values = [of_run[name] for of_run in runs.values() if name in of_run]
    differences = [of_run[name] - base[key][name] for key, of_run in runs.items() if name in of_run and name in base.get(key, {})]
    return Cell(mean=t_interval(values), runs=len(values), difference=t_interval(differences), pairs=len(differences))
