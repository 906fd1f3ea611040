"""Which weights lie behind a path or a hub id: SHA-256 of their whole content, so that no model is taken for another of the same name.

Reading is all the cost: seconds for a small model, up to a minute for the 15 GB of one of 7B parameters. A file is read once per process.
"""

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from transformers.utils import cached_file

from ib_lpo.errors import UserError
from ib_lpo.policy.config import ModelConfig

_SINGLE = ("model.safetensors", "pytorch_model.bin")  # in the order in which they are loaded; shards are named by `<name>.index.json`


def weights_digest(model: ModelConfig) -> str:
    """Hexadecimal, of the weight files that loading `model` reads. Raises UserError when there are none."""
    return files_digest(weight_files(model))


def files_digest(files: Iterable[Path]) -> str:
    """Hexadecimal, of names and contents of files, whatever their order. Raises OSError."""
    found = sorted((file.name, _content(file.resolve(), *version_of(file))) for file in files)
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def weight_files(model: ModelConfig) -> list[Path]:
    """The files that loading `model` reads its weights from. Raises UserError when one of them is missing."""
    for name in _SINGLE:
        if file := model_file(model, name):
            return [file]
        if index := model_file(model, f"{name}.index.json"):
            shards = {shard: model_file(model, shard) for shard in json.loads(index.read_text())["weight_map"].values()}
            if absent := sorted(shard for shard, file in shards.items() if file is None):
                raise UserError(f"model.path={model.path!r}: {index.name} names {absent[0]}, which is not there; fetch the whole model")
            return [file for file in shards.values() if file]
    raise UserError(f"model.path={model.path!r}: no weights there ({' or '.join(_SINGLE)}, or shards with an index); fetch the whole model")


def model_file(model: ModelConfig, name: str) -> Path | None:
    """A file of the model's directory or repository; None when it is not there, or not within reach."""
    try:
        file = cached_file(model.path, name, revision=model.revision, _raise_exceptions_for_missing_entries=False)
    except OSError:  # no such directory or repository, or not within reach of this machine
        return None
    return Path(file) if file else None


def version_of(file: Path) -> tuple[int, int]:
    """Size in bytes and time of the last change, ns: a file that has both unchanged is taken to be the same."""
    status = file.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=256)
def _content(file: Path, size: int, changed: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
