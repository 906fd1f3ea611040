"""The learner's state on disk: whole tensors, so that any number of ranks can read what any number wrote; and no pickle.

    learner/weights-00000.safetensors      float32 master weights; frozen parameters in their own type
            exp_avg-00000.safetensors      Adam's moments of the same parameters, float32; absent before the first optimiser step
            exp_avg_sq-00000.safetensors
            learner.json                   every parameter's shape, type, file and fingerprints; step counts; written last

Within a file a tensor has the name of its parameter in the learner's module (`policy.model.norm.weight`). Tensors are mapped into memory,
so reading a part of one costs that part. Nothing is read as state unless learner.json knows it and it fits.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ib_lpo.checkpoints.directory import CheckpointError
from ib_lpo.checkpoints.durable import sync
from ib_lpo.tracking import replace_text
from ib_lpo.weights.fingerprint import fingerprint

INDEX = "learner.json"
FORMAT = 1
WEIGHTS, MOMENTS = "weights", ("exp_avg", "exp_avg_sq")
_ANOTHER = "use another checkpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One parameter."""

    shape: tuple[int, ...]
    dtype: str  # torch name of the stored weight, e.g. "float32"
    trained: bool  # has moments
    file: int  # number of its files
    fingerprints: dict[str, str]  # of each kind of tensor that is stored, hexadecimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the learner was."""

    last_step: int  # training step applied last; -1 before the first
    optimiser_steps: int  # of Adam, applied ones
    dtype: str  # compute type of the run, e.g. "bfloat16"


@dataclass(frozen=True, slots=True)
class Part:
    """What one rank wrote, and how far it was, which is the same on all."""

    entries: dict[str, Entry]
    progress: Progress


def write_files(directory: Path, number: int, tensors: Mapping[str, Mapping[str, Tensor]], trained: Iterable[str]) -> dict[str, Entry]:
    """Write the files of one number. `tensors`: by kind, then by parameter. On return they are on the disk. Raises OSError or
    SafetensorError."""
    for kind, of_kind in tensors.items():
        if of_kind:
            path = directory / _file(kind, number)
            save_file(dict(of_kind), path)
            sync(path)
    sync(directory)
    found, trains = {}, set(trained)
    for name, weight in tensors[WEIGHTS].items():
        prints = {kind: f"{fingerprint(of_kind[name]):016x}" for kind, of_kind in tensors.items() if name in of_kind}
        dtype = str(weight.dtype).removeprefix("torch.")
        found[name] = Entry(shape=tuple(weight.shape), dtype=dtype, trained=name in trains, file=number, fingerprints=prints)
    return found


def write_index(directory: Path, parts: list[Part]) -> None:
    """Join what all ranks wrote, after the last of them is done."""
    entries = {name: asdict(entry) for part in parts for name, entry in part.entries.items()}
    replace_text(directory / INDEX, json.dumps({"format": FORMAT, **asdict(parts[0].progress), "parameters": entries}, indent=1))
    sync(directory)


class LearnerState:
    """A written state; tensors are read when they are asked for."""

    def __init__(self, directory: Path):
        """Reads learner.json alone. Raises CheckpointError, also where it does not record all kinds of tensors of a parameter."""
        self.directory = directory
        facts = _facts(directory)
        try:
            self.progress = Progress(**{key: facts[key] for key in Progress.__slots__})
            self.entries = {name: Entry(**entry | {"shape": tuple(entry["shape"])}) for name, entry in facts["parameters"].items()}
            self._require_kinds()
        except (KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{directory / INDEX}: damaged ({type(error).__name__}: {error}); {_ANOTHER}") from None

    def misfit(self, shapes: Mapping[str, tuple[int, ...]]) -> str | None:
        """What the first of these parameters that is absent or of another shape lacks, and how many more there are; None when all fit."""
        problems = [problem for name, shape in shapes.items() if (problem := self._misfit(name, shape))]
        more = f", and {len(problems) - 1} more tensors do not fit either" if len(problems) > 1 else ""
        return f"{problems[0]}{more}" if problems else None

    def tensor(self, kind: str, name: str) -> Tensor:
        """A whole tensor on the CPU, mapped from its file. Raises CheckpointError for a damaged or absent file."""
        path = self.directory / _file(kind, self.entries[name].file)
        try:
            with safe_open(path, framework="pt") as stored:
                return stored.get_tensor(name)
        except (OSError, SafetensorError) as error:
            cause = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{path}: damaged, or not there ({cause}); {_ANOTHER}") from None

    def verify(self, names: Iterable[str], kinds: Iterable[str] = (WEIGHTS, *MOMENTS)) -> None:
        """Raise CheckpointError unless the tensors of these parameters are those that were written. Reads all of them."""
        wanted = set(kinds)
        for name in names:
            entry = self.entries[name]
            for kind, print_ in entry.fingerprints.items():
                if kind not in wanted:
                    continue
                found = self.tensor(kind, name)
                if found.shape != entry.shape or f"{fingerprint(found):016x}" != print_:
                    raise CheckpointError(
                        f"{self.directory / _file(kind, entry.file)}: damaged, {name} is not what was written; {_ANOTHER}"
                    )

    def _require_kinds(self) -> None:
        """Raise CheckpointError unless all that the optimiser had of every parameter is recorded."""
        for name, entry in self.entries.items():
            kinds = {WEIGHTS, *(MOMENTS if entry.trained and self.progress.optimiser_steps else ())}
            if set(entry.fingerprints) != kinds:
                found, wanted = (", ".join(sorted(some)) or "nothing" for some in (entry.fingerprints, kinds))
                raise CheckpointError(f"{self.directory / INDEX}: damaged, has {found} of {name} instead of {wanted}; {_ANOTHER}")

    def _misfit(self, name: str, shape: tuple[int, ...]) -> str | None:
        if name not in self.entries:
            return f"has no tensor {name}"
        if self.entries[name].shape != tuple(shape):
            return f"{name} has shape {list(self.entries[name].shape)}, the model needs {list(shape)}"
        return None


def _file(kind: str, number: int) -> str:
    return f"{kind}-{number:05d}.safetensors"


def _facts(directory: Path) -> dict[str, Any]:
    path = directory / INDEX
    try:
        facts = json.loads(path.read_text())
    except FileNotFoundError:
        raise CheckpointError(f"{directory}: no {INDEX}; give the directory of a complete checkpoint") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged ({error}); {_ANOTHER}") from None
    found = facts.get("format", "of DeepSpeed") if isinstance(facts, dict) else "unknown"
    if found != FORMAT:
        raise CheckpointError(
            f"{path}: format {found}, this version of ib_lpo reads {FORMAT}; go on with the version that wrote "
            "it, or start over with --fresh"
        )
    return facts


def compute_type(progress: Progress) -> torch.dtype:
    """The type that the run computed in."""
    return getattr(torch, progress.dtype)
