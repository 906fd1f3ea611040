"""A finished run boiled down to one small file: `Result`."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ib_lpo.budget.ending import generated_tokens, is_last
from ib_lpo.errors import UserError
from ib_lpo.manifest import Manifest
from ib_lpo.run_directory import RunDirectory
from ib_lpo.study.plan import PlannedRun
from ib_lpo.study.settings import Settings
from ib_lpo.tracking import replace_text

TRAINED = ("grade/mixed_questions", "grow/entropy", "grow/response_tokens", "grade/reward")
_NOT_TRAINING = ("held_out", "evaluation", "checkpoint")  # phases
_HELD_OUT = "held_out/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a study keeps of a run."""

    run: str
    task: str
    variant: str
    model_seed: int
    run_seed: int
    digest: str  # of settings
    settings: Settings
    model: str | None  # digest of the starting weights; None where they are not in a directory
    processor: str
    packages: dict[str, str]
    workers: int | str  # runs side by side, which wall times depend on
    steps: int
    tokens: int  # generated for training
    seconds: float  # wall time of training: without start-up, held-out checks, evaluation and checkpoints
    curve: list[dict[str, float]]  # of every held-out check: step, tokens, seconds, held_out/...
    trained: dict[str, float]  # means over training steps


def finished(lines: Sequence[Mapping[str, Any]], manifest: Manifest) -> bool:
    """Whether the lines of a metrics.jsonl end with the last step of the run."""
    return bool(lines) and is_last(int(lines[-1]["step"]), generated_tokens(lines), manifest)


def boil_down(run: PlannedRun, machine: Mapping[str, Any], workers: int | str) -> Result:
    """The result of a run whose directory holds all its steps. Raises UserError for a record that is not whole."""
    lines = RunDirectory(run.manifest.run_dir).metrics()
    if not finished(lines, run.manifest):
        raise UserError(f"{run.manifest.run_dir}: the record ends with step {lines[-1]['step']}, before the end of the run")
    return Result(
        run=run.name,
        task=run.task,
        variant=run.variant,
        model_seed=run.model_seed,
        run_seed=run.run_seed,
        digest=run.digest,
        settings=run.settings,
        model=model_digest(run.manifest.model.path),
        processor=machine["processor"],
        packages=dict(machine["packages"]),
        workers=workers,
        steps=int(lines[-1]["step"]),
        tokens=generated_tokens(lines),
        seconds=sum(map(training_seconds, lines)),
        curve=curve_of(lines),
        trained={name: _mean(values) for name in TRAINED if (values := _values(lines, name))},
    )


def curve_of(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Every held-out check, with the tokens generated and the seconds trained until then."""
    found, tokens, seconds = [], 0, 0.0
    for line in lines:
        tokens += generated_tokens([line])
        seconds += training_seconds(line)
        if line.get("held_out/accuracy") is not None:
            measured = {name: value for name, value in line.items() if name.startswith(_HELD_OUT) and value is not None}
            found.append({"step": line["step"], "tokens": tokens, "seconds": round(seconds, 3), **measured})
    return found


def training_seconds(line: Mapping[str, Any]) -> float:
    """Wall time of a step's training phases; 0 of step 0."""
    if not line["step"]:
        return 0.0
    phases = {name.removeprefix("seconds/"): value for name, value in line.items() if name.startswith("seconds/")}
    return sum(value for phase, value in phases.items() if phase not in _NOT_TRAINING and value is not None)


def model_digest(path: str) -> str | None:
    """SHA-256 of the weights in a directory, the first 16 hexadecimal digits; None without such a directory."""
    files = sorted(Path(path).glob("*.safetensors"))
    if not files:
        return None
    found = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            found.update(hashlib.file_digest(opened, "sha256").digest())
    return found.hexdigest()[:16]


def write_result(path: Path, result: Result) -> None:
    """One line per field, so that a change is easy to see. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in asdict(result).items())
    replace_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def read_result(path: Path) -> Result | None:
    """None without a file. Raises UserError when it is damaged."""
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Result(**{field.name: values[field.name] for field in fields(Result)})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path}: not a result of a study ({type(error).__name__}: {error}); delete it to run it again") from None


def _values(lines: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [line[name] for line in lines if line["step"] and line.get(name) is not None]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
