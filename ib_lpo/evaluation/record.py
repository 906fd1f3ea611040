"""Finished questions of a benchmark on disk: one line of JSON each, there for good once `add` returns.

A line that a killed process left half-written is no outcome, and is cut off when the record is opened again. Texts are on disk alone:
memory holds what summaries are made of.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ib_lpo.errors import UserError
from ib_lpo.evaluation.benchmarks import Benchmark
from ib_lpo.evaluation.outcome import Outcome, Sample, digest
from ib_lpo.tree import Question, Status, Verdict


class Record:
    """`<directory>/samples/<benchmark>.jsonl`. One writer."""

    def __init__(self, directory: Path, benchmark: Benchmark):
        """Raises UserError when the outcomes there are not of these questions, or a line is damaged."""
        self.benchmark = benchmark
        self._path = directory / "samples" / f"{benchmark.name}.jsonl"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._outcomes = {outcome.question: outcome for outcome in self._finished()}
        self._require_same()

    @property
    def done(self) -> set[str]:
        """Ids of finished questions."""
        return set(self._outcomes)

    @property
    def left(self) -> list[Question]:
        """Questions that are not finished, in the benchmark's order."""
        return [question for question in self.benchmark.questions if question.id not in self._outcomes]

    def add(self, outcome: Outcome) -> None:
        """Write a finished question. Raises ValueError for one that is finished already."""
        if outcome.question in self._outcomes:
            raise ValueError(f"{self._path}: question {outcome.question} twice")
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._outcomes[outcome.question] = replace(outcome, samples=[replace(sample, text="") for sample in outcome.samples])

    def outcomes(self) -> list[Outcome]:
        """Those of finished questions, without texts, in the benchmark's order."""
        return [self._outcomes[question.id] for question in self.benchmark.questions if question.id in self._outcomes]

    def _finished(self) -> Iterator[Outcome]:
        with self._path.open("a+b") as file:
            file.seek(0)
            for number, line in enumerate(iter(file.readline, b""), start=1):
                if not line.endswith(b"\n"):
                    file.truncate(file.tell() - len(line))
                    return
                yield self._read(number, line)

    def _read(self, number: int, line: bytes) -> Outcome:
        try:
            values: dict[str, Any] = json.loads(line)
            samples = [
                Sample(**sample | {"status": Status(sample["status"]), "verdict": Verdict(sample["verdict"]), "text": ""})
                for sample in values["samples"]
            ]
            return Outcome(**values | {"samples": samples})
        except (ValueError, TypeError, KeyError):
            raise UserError(f"{self._path}:{number}: damaged; remove the line and resume, or start over with --fresh") from None

    def _require_same(self) -> None:
        known = {question.id: digest(question) for question in self.benchmark.questions}
        for outcome in self._outcomes.values():
            if known.get(outcome.question) != outcome.digest or len(outcome.samples) != self.benchmark.samples:
                raise UserError(
                    f"{self._path}: question {outcome.question} is not what the benchmark {self.benchmark.name} has now; put the data "
                    "back, or start over with --fresh"
                )
