"""The experiment manifest: YAML in, one frozen, fully checked object out. Imports no torch.

`load` follows `extends:` (a path relative to the file, or a list of them; later wins, mappings merge), applies
`key.sub=value` overrides, then validates. Unknown keys are errors, and every error names key, value and fix.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, model_validator

from ib_lpo.analysis.config import AnalysisConfig
from ib_lpo.branching.config import BranchingConfig
from ib_lpo.budget.config import BudgetConfig
from ib_lpo.checkpoints.config import CheckpointConfig
from ib_lpo.data.config import DataConfig, HeldOutConfig
from ib_lpo.data.preparation.config import PrepareConfig
from ib_lpo.errors import UserError
from ib_lpo.evaluation.config import EvaluationConfig
from ib_lpo.fleet.config import ClusterConfig
from ib_lpo.latent.config import LatentConfig
from ib_lpo.latent.fitting.config import FitConfig
from ib_lpo.learner.config import LearnerConfig
from ib_lpo.plain_yaml import Unclear, load_yaml
from ib_lpo.policy.config import ModelConfig
from ib_lpo.redaction import HIDDEN, is_secret_name, redact, secret_spans
from ib_lpo.requirements import problems
from ib_lpo.rollout.config import RolloutConfig
from ib_lpo.scoring.config import FilterConfig, IbConfig, VerifierConfig
from ib_lpo.scoring.estimators import ESTIMATORS
from ib_lpo.section import Section
from ib_lpo.tracking.config import TrackingConfig
from ib_lpo.weights.config import WeightsConfig


class ManifestError(UserError):
    """A manifest that cannot be run; the message has one line per problem: key, value, fix, and no secret."""

    def __init__(self, message: str):
        super().__init__(redact(message))


class Manifest(Section):
    """One experiment."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)
    """Run name; the run directory is runs_dir/name."""
    seed: int = Field(0, ge=0)
    """Every random choice of the run derives from it."""
    steps: int = Field(ge=1)
    """Training steps; fewer where `budget` ends training before."""
    budget: BudgetConfig = BudgetConfig()
    max_staleness: int = Field(0, ge=0)
    """Most policy versions between a token that a step trains on and the weights it updates. 0: synchronous; n: the next n steps grow
    while the learner works, and engines take new weights in the middle of their responses (branching/ahead.py)."""
    runs_dir: Path = Path("runs")
    """Parent of run directories."""
    model: ModelConfig
    prepare: PrepareConfig = PrepareConfig()
    data: DataConfig = DataConfig()
    held_out: HeldOutConfig = HeldOutConfig()
    rollout: RolloutConfig = RolloutConfig()
    branching: BranchingConfig = BranchingConfig()
    latent: LatentConfig = LatentConfig()
    latent_fit: FitConfig = FitConfig()
    verifier: VerifierConfig = VerifierConfig()
    ib: IbConfig = IbConfig()
    filter: FilterConfig = FilterConfig()
    learner: LearnerConfig = LearnerConfig()
    weights: WeightsConfig = WeightsConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    tracking: TrackingConfig = TrackingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    analysis: AnalysisConfig = AnalysisConfig()
    cluster: ClusterConfig = ClusterConfig()

    @property
    def run_dir(self) -> Path:
        return self.runs_dir / self.name

    @property
    def latent_dir(self) -> Path:
        """Of `ib-lpo latent fit`: beside the run directory, which a fresh training run sets aside."""
        return self.runs_dir / f"{self.name}-latent"

    @property
    def evaluation_dir(self) -> Path:
        """Of `ib-lpo eval`."""
        return self.runs_dir / f"{self.name}-eval"

    @property
    def runs_scorer(self) -> bool:
        """Whether a scoring model is loaded: the estimator asks it something."""
        return self.ib.estimator != "none" and bool(ESTIMATORS[self.ib.estimator].needs)

    @property
    def scorers(self) -> int:
        """Scorers that a run starts."""
        return self.ib.replicas if self.runs_scorer else 0

    @property
    def compared_roots(self) -> int:
        """Roots whose branches the filter compares with one another."""
        return self.branching.roots if self.filter.scope == "prompt" else 1

    @property
    def kept_branches(self) -> int:
        """N of the filter, of the branches it compares: `filter.keep`, or half of what a root can have, rounded up, per root."""
        return self.compared_roots * -(-self.branching.most_branches // 2) if self.filter.keep is None else self.filter.keep

    @model_validator(mode="after")
    def _sections_fit(self) -> "Manifest":
        if found := problems(self):
            raise ValueError("\n".join(found))
        return self


def load(path: Path | str, overrides: Sequence[str] = ()) -> Manifest:
    """Read, merge, override and validate. Raises ManifestError."""
    return validate(read_layers([Path(path), *overrides]))


def read_layers(layers: Sequence[Path | str]) -> dict[str, Any]:
    """Plain values of YAML files (Path) and `key.sub=value` overrides (str), merged in order: later ones win. Nothing is
    validated. Raises ManifestError for what cannot be read."""
    merged: dict[str, Any] = {}
    for layer in layers:
        if isinstance(layer, Path):
            _merge(merged, _read(layer, ()))
        else:
            _apply(merged, layer)
    return merged


def load_recorded(path: Path) -> Manifest:
    """The manifest that a run wrote, of an earlier version too: `latent.kind: normal` needed no `latent.untrained` once, and
    `branching.pivot` was `branching.include_pivot`.

    Raises ManifestError.
    """
    values = _read(path, ())
    latent = values.get("latent")
    if isinstance(latent, dict) and latent.get("kind") == "normal":
        latent.setdefault("untrained", True)
    branching = values.get("branching")
    if isinstance(branching, dict) and "include_pivot" in branching:
        branching["pivot"] = "keep" if branching.pop("include_pivot") else "resample"
    return validate(values)


def validate(values: dict[str, Any]) -> Manifest:
    """A Manifest from plain values. Raises ManifestError with one line per problem, and no secret in it."""
    try:
        manifest = Manifest.model_validate(values)
    except ValidationError as error:
        raise explained(error) from None
    if keys := list(_secret_keys(manifest.model_dump(mode="json"))):
        raise ManifestError("\n".join(f"{key}: holds a secret, which would be stored; set an environment variable instead" for key in keys))
    return manifest


def explained(error: ValidationError) -> ManifestError:
    """What pydantic found, one line per problem: key, value, fix."""
    return ManifestError("\n".join(_explain(e) for e in error.errors()))


def dump(manifest: Manifest) -> str:
    """The resolved manifest as YAML; `load` of it gives an equal manifest."""
    return yaml.safe_dump(manifest.model_dump(mode="json"), sort_keys=False)


def _secret_keys(value: Any, key: str = "") -> Iterator[str]:
    """Where in a manifest's values secrets stand."""
    if isinstance(value, dict | list):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _secret_keys(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, str) and secret_spans(value):
        yield key


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    try:
        path = path.resolve()
    except (OSError, ValueError) as error:
        raise ManifestError(f"{str(path)[:200]!r}: cannot be a manifest ({error}); check the path") from None
    if path in seen:
        raise ManifestError(f"{path}: `extends` goes in a circle through {' -> '.join(p.name for p in (*seen, path))}")
    try:
        values = load_yaml(path.read_text())
    except FileNotFoundError:
        raise ManifestError(f"{path}: no such manifest; check the path" + (f" (extended by {seen[-1]})" if seen else "")) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read ({error}); check the path and its permissions") from None
    except yaml.YAMLError as error:
        raise ManifestError(f"{path}: not valid YAML: {_trouble(error)}") from None
    if not isinstance(values, dict):
        raise ManifestError(f"{path}: a manifest is a mapping of keys to values, this is {type(values).__name__}")
    merged: dict[str, Any] = {}
    for parent in _parents(path, values.pop("extends", [])):
        _merge(merged, _read(path.parent / parent, (*seen, path)))
    _merge(merged, values)
    return merged


def _parents(path: Path, said: Any) -> list[Path]:
    """What `extends` names, in its order. Raises ManifestError for anything but a path or a list of them."""
    parents = [said] if isinstance(said, str) else said
    if not isinstance(parents, list) or not all(isinstance(one, str) and one.strip() and "\0" not in one for one in parents):
        raise ManifestError(f"{path}: extends={said!r:.200}: expected the path of a manifest, or a list of them")
    try:
        return [Path(one).expanduser() for one in parents]
    except RuntimeError:  # no such user
        raise ManifestError(f"{path}: extends={said!r:.200}: there is no such home directory; write it out") from None


def _trouble(error: yaml.YAMLError) -> str:
    """What is wrong and where, without the line that it stands in, of which a part of a secret may be shown."""
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark) is not None:
        return f"{error.problem}, line {mark.line + 1}, column {mark.column + 1}"
    return " ".join(str(error).split())


def _merge(into: dict[str, Any], new: dict[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ManifestError(f"override {override!r}: expected key.sub=value")
    try:
        value = load_yaml(text)
    except Unclear as error:
        raise ManifestError(f"override {key!r}: {error.problem}") from None
    except yaml.YAMLError:
        raise ManifestError(f"override {key!r}: the value is not valid YAML; quote it") from None
    *parents, leaf = key.split(".")
    for part in parents:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise ManifestError(f"override {key!r}: {part} is a single value and has no {leaf}")
    values[leaf] = value


_MOST_SHOWN = 300  # characters of a value
_UNIONS = (("learner", "loss"),)  # sections with one set of keys per kind: pydantic puts the kind after them in an error's location


def _short(value: Any) -> str:
    """For a message."""
    shown = repr(value)
    return shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}..."


def _explain(error: Any) -> str:
    location, kind = error["loc"], None
    if location[:2] in _UNIONS and len(location) > 2:
        kind, location = location[2], (*location[:2], *location[3:])
    key = ".".join(str(part)[:_MOST_SHOWN] for part in location)
    value = HIDDEN if is_secret_name(key.rpartition(".")[2]) else _short(error["input"])
    match error["type"]:
        case "extra_forbidden" if kind is not None:
            return f"{key}: {'.'.join(location[:2])}.kind={kind!r} has no such key; remove it or check its spelling (value {value})"
        case "extra_forbidden":
            return f"{key}: unknown key; remove it or check its spelling (value {value})"
        case "missing":
            return f"{key}: required, but absent; add it"
        case "union_tag_invalid":
            kinds = error["ctx"]["expected_tags"].replace("'", "")
            return f"{key}.kind={error['ctx']['tag']!r}: unknown; use one of {kinds}"
        case "union_tag_not_found":
            return f"{key}={value}: expected a mapping of keys to values with a `kind`; write {key}.kind=..."
    message = error["msg"].removeprefix("Value error, ")
    return f"{key}={value}: {message}" if key else message
