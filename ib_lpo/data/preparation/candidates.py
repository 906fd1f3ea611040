"""Questions on their way through the stages.

A candidate's id is `<source>/<id within it>`, so ids are unique over all sources, and the same for the same source settings.
"""

from dataclasses import dataclass

from ib_lpo.data.config import SourceConfig
from ib_lpo.data.sources import DataError, Row, read_rows
from ib_lpo.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A question that no stage has dropped yet."""

    id: str
    source: str  # its name in prepare.sources
    question: str
    answer: str  # the final answer alone
    solution: str  # "" without any
    pass_rate: float | None = None  # in [0, 1], over verifiable samples; None: not measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """All that was read."""

    sources: dict[str, list[Row]]
    benchmarks: dict[str, list[Row]]  # those that training questions are compared with; empty without prepare.contamination

    @property
    def candidates(self) -> list[Candidate]:
        """Of all sources, in the manifest's order and theirs."""
        return [
            Candidate(id=f"{name}/{row.id}", source=name, question=row.question, answer=row.answer, solution=row.solution)
            for name, rows in self.sources.items()
            for row in rows
        ]


def read_inputs(manifest: Manifest) -> Inputs:
    """Sources and benchmarks. Raises DataError with one line per source that cannot be read."""
    prepare = manifest.prepare
    if not prepare.sources:
        raise DataError("prepare.sources: names no source; add one, such as prepare.sources.train={kind: file, path: train.jsonl}")
    benchmarks = {} if prepare.contamination is None else compared_with(manifest)
    problems: list[str] = []
    read = {f"prepare.sources.{name}": source for name, source in prepare.sources.items()} | benchmarks
    rows = {key: _rows(key, source, problems) for key, source in read.items()}
    if problems:
        raise DataError("\n".join(problems))
    sources = {name: _numbered(rows[f"prepare.sources.{name}"], source) for name, source in prepare.sources.items()}
    return Inputs(sources=sources, benchmarks={key.removeprefix("evaluation.benchmarks."): rows[key] for key in benchmarks})


def compared_with(manifest: Manifest) -> dict[str, SourceConfig]:
    """By manifest key, the sources that must not be trained on."""
    found = {f"evaluation.benchmarks.{name}": benchmark.source for name, benchmark in manifest.evaluation.benchmarks.items()}
    return found if manifest.data.held_out is None else found | {"data.held_out": manifest.data.held_out}


def _rows(key: str, source: SourceConfig, problems: list[str]) -> list[Row]:
    try:
        return read_rows(source)
    except DataError as error:
        problems.append(f"{key}: {error}")
        return []


def _numbered(rows: list[Row], source: SourceConfig) -> list[Row]:
    """`rows` with ids that do not repeat the origin's name where it has no ids of its own."""
    if source.id_column is not None:
        return rows
    return [row._replace(id=str(number)) for number, row in enumerate(rows, start=source.skip)]
