"""What a stage of `ib-lpo data prepare` is given and gives back.

Every candidate that enters a stage leaves it kept, in its order, or dropped and counted under one reason.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from ib_lpo.data.preparation.candidates import Candidate
from ib_lpo.data.sources import Row
from ib_lpo.manifest import Manifest
from ib_lpo.policy.load import load_tokenizer
from ib_lpo.scoring.verifier import Verifier


@dataclass(frozen=True, kw_only=True)
class Context:
    """What stages need besides the candidates."""

    manifest: Manifest
    verifier: Verifier
    benchmarks: dict[str, list[Row]]
    folder: Path  # of the output

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Of the manifest's model. Raises UserError."""
        return load_tokenizer(self.manifest.model)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a stage did."""

    kept: list[Candidate]
    dropped: Counter[str]  # candidates by reason
    noted: Counter[str] = field(default_factory=Counter)  # of what stayed, by what is worth knowing
    details: dict[str, Any] = field(default_factory=dict)  # for the card; plain values


Stage = Callable[[Sequence[Candidate], Context], Outcome | None]
"""None: the manifest turns the stage off."""


def sift(candidates: Sequence[Candidate], reason: Callable[[Candidate], str | None]) -> tuple[list[Candidate], Counter[str]]:
    """The candidates without a reason to drop them, and how many have which."""
    kept, dropped = [], Counter[str]()
    for candidate in candidates:
        why = reason(candidate)
        if why is None:
            kept.append(candidate)
        else:
            dropped[why] += 1
    return kept, dropped
