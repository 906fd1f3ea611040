"""What a metric is: a name, or a family of names, with its unit, its meaning and the file that computes it. Imports no torch."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from ib_lpo.alarms import ALARMS
from ib_lpo.scoring.grades import Cause
from ib_lpo.tree import FailureMode, Label, Verdict

Unit = Literal["count", "share", "nats", "tokens", "seconds", "bytes", "GB", "GB/s", "reward", "1"]
"""`share`: within 0..1. `reward`: of a trajectory, within 0..1, 1 for a correct answer. `1`: dimensionless."""

Total = Literal["sum", "mean", "max", "last"]


class Placeholder(NamedTuple):
    """What may stand for a <placeholder> in a name."""

    pattern: str  # regular expression
    meaning: str

    @classmethod
    def among(cls, values: Iterable[str]) -> "Placeholder":
        return cls("|".join(map(re.escape, values)), ", ".join(values))


PLACEHOLDERS: dict[str, Placeholder] = {
    "age": Placeholder("[0-9]+", "a number of policy versions"),
    "alarm": Placeholder.among(ALARMS),
    "benchmark": Placeholder("[^/]+", "a name in evaluation.benchmarks"),
    "cause": Placeholder.among(Cause),
    "group": Placeholder.among(("policy", "psa")),
    "k": Placeholder("[0-9]+", "a number of samples"),
    "label": Placeholder.among(Label),
    "measure": Placeholder("[a-z0-9_]+", "a measure of diversity (diversity/measures.py)"),
    "mode": Placeholder.among(FailureMode),
    "phase": Placeholder("[a-z_]+", "a phase of the step (train.py)"),
    "quarter": Placeholder("[1-4]", "1 to 4, from the first token on"),
    "verdict": Placeholder.among(Verdict),
}


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric, or one per value of the placeholders in its name (`seconds/<phase>`)."""

    name: str
    unit: Unit
    meaning: str  # one sentence
    source: str  # the file that computes it, relative to ib_lpo/
    total: Total = "mean"  # what a whole run's value is, of those of its steps
    best: Literal["max", "min"] | None = None  # which of its values is the best one, where that can be said

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches the whole of every name that this metric has. Raises KeyError for an unknown placeholder."""
        parts = re.split(r"<([a-z_]+)>", self.name)
        return re.compile("".join(f"(?:{PLACEHOLDERS[part].pattern})" if odd % 2 else re.escape(part) for odd, part in enumerate(parts)))
