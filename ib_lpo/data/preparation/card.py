"""The data card: what became of every question, in words (card.md), in numbers (card.json) and as a table in the terminal.

Counts add up: what a stage leaves plus what it drops is what the stage before left. Nothing in a card depends on when it was written.
"""

import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.table import Table

from ib_lpo import __version__
from ib_lpo.data.preparation.candidates import Candidate, Inputs, compared_with
from ib_lpo.data.preparation.card_text import markdown
from ib_lpo.data.preparation.output import rows_digest
from ib_lpo.latent.identity import file_digest
from ib_lpo.manifest import Manifest
from ib_lpo.tracking import replace_text

_OF_ROLLOUTS = {"max_prompt_tokens", "max_response_tokens", "temperature", "top_p", "top_k", "stop_tokens"}
_PACKAGES = ("datasets", "math-verify", "py3langid", "pyarrow", "reasoning-gym", "transformers")


@dataclass(frozen=True, kw_only=True)
class StageCounts:
    """One stage's line in the card."""

    name: str
    off: bool
    left: int
    left_by_source: dict[str, int]
    dropped: dict[str, int] = field(default_factory=dict)  # by reason
    noted: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        name: str,
        left: Sequence[Candidate],
        *,
        off: bool = False,
        dropped: Mapping[str, int] | None = None,
        noted: Mapping[str, int] | None = None,
    ) -> "StageCounts":
        by_source = dict(Counter(candidate.source for candidate in left))
        counts = {"dropped": _most_first(dropped or {}), "noted": _most_first(noted or {})}
        return cls(name=name, off=off, left=len(left), left_by_source=by_source, **counts)


@dataclass(frozen=True, kw_only=True)
class Card:
    """All that a card says."""

    manifest: Manifest
    inputs: Inputs
    stages: list[StageCounts]
    details: dict[str, dict[str, Any]]  # by stage
    questions: list[Candidate]


def write_card(card: Card, path: Path) -> None:
    """card.json and card.md beside the questions at `path`, which must be written already."""
    values = _values(card, path)
    replace_text(path.with_name("card.json"), json.dumps(values, indent=1, ensure_ascii=False) + "\n")
    replace_text(path.with_name("card.md"), markdown(values))


def table(card: Card) -> Table:
    """The stages, for the terminal."""
    shown = Table("stage", "dropped", "left", *card.inputs.sources, "why", title=f"questions of {card.manifest.name}", title_justify="left")
    for column in shown.columns[1:-1]:
        column.justify = "right"
    for stage in card.stages:
        dropped = "off" if stage.off else str(sum(stage.dropped.values())) if stage.name != "read" else ""
        why = [f"{count} {reason}" for reason, count in (stage.dropped | stage.noted).items()]
        shown.add_row(
            stage.name, dropped, str(stage.left), *(str(stage.left_by_source.get(n, 0)) for n in card.inputs.sources), "\n".join(why)
        )
    return shown


def _values(card: Card, path: Path) -> dict[str, Any]:
    manifest, prepare = card.manifest, card.manifest.prepare
    return {
        "name": manifest.name,
        "questions": len(card.questions),
        "stages": [_stage(stage, prepare.sources) for stage in card.stages],
        "details": card.details,
        "inputs": _inputs(card),
        "output": {"file": path.name, "sha256": file_digest(path)},
        "settings": {
            "prepare": prepare.model_dump(mode="json"),
            "verifier.reward": manifest.verifier.reward,
            "seed": manifest.seed,
            "model": manifest.model.model_dump(mode="json"),
            "data": manifest.data.model_dump(mode="json", include={"template", "chat", "chat_template_kwargs"}),
            "rollout": manifest.rollout.model_dump(mode="json", include=_OF_ROLLOUTS),
        },
        "versions": {"ib-lpo": __version__, "python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
    }


def _stage(stage: StageCounts, sources: Mapping[str, Any]) -> dict[str, Any]:
    by_source = {name: stage.left_by_source.get(name, 0) for name in sources}
    return {
        "name": stage.name,
        "off": stage.off,
        "left": stage.left,
        "left_by_source": by_source,
        "dropped": stage.dropped,
        "noted": stage.noted,
    }


def _inputs(card: Card) -> dict[str, dict[str, Any]]:
    """Rows and hashes of all that was read, by manifest key."""
    manifest = card.manifest
    read = {f"prepare.sources.{name}": (source, card.inputs.sources[name]) for name, source in manifest.prepare.sources.items()}
    for key, source in compared_with(manifest).items():
        if (name := key.removeprefix("evaluation.benchmarks.")) in card.inputs.benchmarks:
            read[key] = (source, card.inputs.benchmarks[name])
    found = {}
    for key, (source, rows) in read.items():
        found[key] = {"kind": source.kind, "rows": len(rows), "sha256_of_rows": rows_digest(rows)}
        if source.kind == "file" and source.path is not None:
            found[key] |= {"file": str(source.path), "sha256_of_file": file_digest(source.path)}
        else:
            found[key] |= {"name": source.name, "config": source.config, "revision": source.revision, "split": source.split}
    return found


def _most_first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
