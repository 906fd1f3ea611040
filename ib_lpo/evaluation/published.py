"""The paper's results (arXiv 2601.05870), as printed there; never mixed with ours."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import PurePath

from ib_lpo.evaluation.config import EvaluationConfig
from ib_lpo.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One method's results on one benchmark."""

    model: str
    method: str
    benchmark: str
    k: int
    pass_at_1: float  # percent
    pass_at_k: float  # percent
    tokens: float  # mean per response


@cache
def published() -> tuple[Published, ...]:
    """All of them."""
    with files("ib_lpo.evaluation").joinpath("published.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Published(
                model=row["model"],
                method=row["method"],
                benchmark=row["benchmark"],
                k=int(row["k"]),
                pass_at_1=float(row["pass_at_1"]),
                pass_at_k=float(row["pass_at_k"]),
                tokens=float(row["tokens"]),
            )
            for row in csv.DictReader(file)
        )


def published_model(manifest: Manifest) -> str | None:
    """The paper's model whose results are shown: evaluation.published_model or, when that is null, the one that model.path names."""
    config: EvaluationConfig = manifest.evaluation
    return config.published_model or (own_name(manifest) if own_name(manifest) in {one.model for one in published()} else None)


def own_name(manifest: Manifest) -> str:
    """The last part of model.path."""
    return PurePath(manifest.model.path).name


def results_of(model: str | None, benchmark: str | None) -> list[Published]:
    """What the paper has for a model on a benchmark, a line per method."""
    return [one for one in published() if (one.model, one.benchmark) == (model, benchmark)]
