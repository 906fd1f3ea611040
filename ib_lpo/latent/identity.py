"""Which policy and which encoder a latent was fitted to: hashes of their weights, not their paths, which say nothing of what lies there.

A policy is known by its input embeddings, read alone from its checkpoint: under a second for a model of 7B parameters. An encoder is known
by its weights' file, the encoder `embedding` by the policy. A file is hashed once per process.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

from safetensors import safe_open
from transformers.utils import cached_file

from ib_lpo.errors import UserError
from ib_lpo.latent.config import EncoderConfig
from ib_lpo.latent.encoders.embedding import TABLE, checkpoint_file
from ib_lpo.manifest import Manifest
from ib_lpo.policy.config import ModelConfig
from ib_lpo.weights.fingerprint import fingerprint

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")  # in the order in which they are loaded


def identities(manifest: Manifest) -> dict[str, str]:
    """`model` and `encoder`, hexadecimal. Raises UserError for weights that are not there."""
    return {"model": policy_identity(manifest.model), "encoder": encoder_identity(manifest.latent.encoder, manifest.model)}


def policy_identity(model: ModelConfig) -> str:
    """Fingerprint of the checkpoint's input embeddings. Raises UserError when it has none."""
    file = checkpoint_file(TABLE, model)
    return _of_table(file, *_version(file))


def encoder_identity(config: EncoderConfig, model: ModelConfig) -> str:
    """Of what `latent.encoder` names, for the policy `model`. Raises UserError when it is not there."""
    if config.kind == "embedding":
        return policy_identity(model)
    file = _weights_of(config)
    return _of_file(file, *_version(file))


def file_digest(path: Path) -> str:
    """SHA-256 of a file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=8)
def _of_table(file: Path, size: int, changed: int) -> str:
    with safe_open(file, "pt") as checkpoint:
        return f"{fingerprint(checkpoint.get_tensor(TABLE)):016x}"


@lru_cache(maxsize=8)
def _of_file(file: Path, size: int, changed: int) -> str:
    return file_digest(file)


def _version(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _weights_of(config: EncoderConfig) -> Path:
    for name in _WEIGHTS:
        try:
            file = cached_file(config.path, name, revision=config.revision, _raise_exceptions_for_missing_entries=False)
        except OSError:  # no such directory, no such repository, or none that this machine can reach
            break
        if file:
            return Path(file)
    raise UserError(
        f"latent.encoder.path={config.path!r}: no weights of a sentence encoder there; give the hub id or directory of one, such as the "
        "one that `python tools/fetch_minilm.py` fetches"
    )
