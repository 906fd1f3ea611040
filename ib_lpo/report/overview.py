"""The head of a report: what the run is, how far it came, what it is now, its alarms, and its manifest beside the defaults."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from ib_lpo.alarms import raise_alarms
from ib_lpo.manifest import Manifest, validate
from ib_lpo.summary import ends, totals

Line = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Number:
    """One figure of the head: its last value, and the first where the change is of interest."""

    title: str
    value: str
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """A key of the manifest."""

    key: str
    value: str
    default: str  # as written; empty for a key that has none

    @property
    def changed(self) -> bool:
        return self.value != self.default


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm as it was told."""

    step: int
    text: str


# Title, metric, format; shown with the value they began with.
_CHANGES = (
    ("Held-out accuracy", "held_out/accuracy", ".1%"),
    ("Training reward", "grade/reward", ".3f"),
    ("Token entropy, nats", "grow/entropy", ".3f"),
    ("Response tokens", "grow/response_tokens", ",.1f"),
    ("Truncated", "grow/truncated", ".1%"),
)
# Title, metric of the whole run, format.
_TOTALS = (
    ("Forks", "grow/forks", ",.0f"),
    ("Kept", "filter/kept", ",.0f"),
    ("Filtered out", "filter/pruned", ",.0f"),
    ("Largest |Δ log p|, nats", "mismatch/max_abs", ".1e"),
)
_REQUIRED = ("name", "steps", "model.path")  # have no default


def numbers(lines: Sequence[Line]) -> list[Number]:
    """Final numbers; what the run did not measure is left out."""
    first, last = ends(lines)
    whole = totals(lines)
    changes = [Number(title, format(last[name], form), format(first[name], form)) for title, name, form in _CHANGES if name in last]
    evals = [
        Number(name.removeprefix("eval/"), format(last[name], ".1%"), format(first[name], ".1%"))
        for name in sorted(last)
        if name.startswith("eval/") and name.endswith("/avg")
    ]
    sums = [Number(title, format(whole[name], form)) for title, name, form in _TOTALS if name in whole]
    seconds = sum(value for name, value in whole.items() if name.startswith("seconds/"))
    return [*changes, *evals, *sums, Number("Time", _duration(seconds))]


def alarms(lines: Sequence[Line], manifest: Manifest) -> list[Alarm]:
    """The alarms that the run told, oldest first."""
    steps = [line for line in lines if line["step"] > 0]
    told = ((line["step"], raise_alarms(steps[:index], line, manifest.learner)[1]) for index, line in enumerate(steps))
    return [Alarm(int(step), text) for step, texts in told for text in texts]


def settings(manifest: Manifest) -> dict[str, list[Setting]]:
    """The manifest by section, each key beside its default; single keys are in section `run`."""
    required = {"name": manifest.name, "steps": manifest.steps, "model": {"path": manifest.model.path}}
    defaults = dict(_leaves(validate(required).model_dump(mode="json")))
    grouped: dict[str, list[Setting]] = {}
    for key, value in _leaves(manifest.model_dump(mode="json")):
        section, dot, _ = key.partition(".")
        default = _written(defaults[key]) if key in defaults and key not in _REQUIRED else ""
        grouped.setdefault(section if dot else "run", []).append(Setting(key, _written(value), default))
    return grouped


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _written(value: Any) -> str:
    if isinstance(value, str) and "\n" in value:
        return json.dumps(value, ensure_ascii=False)  # YAML too, and on one line
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n").removesuffix("...").strip()


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
