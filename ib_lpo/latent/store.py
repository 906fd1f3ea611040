"""The trained latent on disk: a directory with latent.safetensors and latent.json, written by `ib-lpo latent fit`.

    latent.safetensors   cvae.* (latent/cvae.py), maps.* (of the injection; absent for objective lars)
    latent.json          sizes, encoder and injection that they fit, whose weights they were fitted to, and what the fit reports

Nothing of it is used unless it fits the manifest: sizes, injected layers, encoder and the weights of policy and encoder
(latent/identity.py) are compared, not assumed. latent.json is taken away first and written last, so that a crash leaves a pair of one fit
or one that is refused, never half of each.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ib_lpo.checkpoints.durable import sync, sync_tree
from ib_lpo.errors import UserError
from ib_lpo.latent.config import EncoderConfig
from ib_lpo.latent.identity import encoder_identity, file_digest, identities, policy_identity
from ib_lpo.latent.injection import MAPS, LatentMaps, MapShape
from ib_lpo.manifest import Manifest
from ib_lpo.seeds import derive
from ib_lpo.tracking import replace_text

_TENSORS, _FACTS = "latent.safetensors", "latent.json"
_CVAE = "cvae."  # what the names of the networks begin with


@dataclass(frozen=True, slots=True, kw_only=True)
class CvaeShape:
    """Sizes of the CVAE's networks."""

    dim: int  # of z
    features: int  # of an encoded text
    hidden: int


def save_latent(
    directory: Path,
    *,
    networks: dict[str, Tensor],
    shape: CvaeShape,
    manifest: Manifest,
    maps: LatentMaps | None,
    report: dict[str, Any],
) -> None:
    """Write both files. `networks`: the state of the Cvae; `manifest`: of the fit, whose policy and encoder they belong to; `report`: what
    the fit found, for readers."""
    tensors = {f"{_CVAE}{name}": tensor for name, tensor in networks.items()} | (
        {} if maps is None else {f"{MAPS}{name}": tensor for name, tensor in maps.state_dict().items()}
    )
    sizes = {field: getattr(shape, field) for field in shape.__slots__}
    encoder = manifest.latent.encoder.model_dump(mode="json")
    facts = {"cvae": sizes, "encoder": encoder, "maps": None if maps is None else _sizes(maps.shape), "weights": identities(manifest)}
    try:
        _write(directory, tensors, facts | {"report": report})
    except (OSError, SafetensorError) as error:  # safetensors' own for a full disk
        raise UserError(f"{directory}: the latent cannot be written ({error}); make room there") from None


def _write(directory: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    partial = directory / f".{_TENSORS}.partial"
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial)
    sync(partial)
    (directory / _FACTS).unlink(missing_ok=True)
    partial.replace(directory / _TENSORS)
    replace_text(directory / _FACTS, json.dumps(facts, indent=1))


class KeptLatent(NamedTuple):
    """A directory with the latent of one run, which nobody fits anew, and the SHA-256 of its tensors."""

    directory: Path
    digest: str

    def copy_to(self, directory: Path) -> None:
        """Copy both files into a directory that is not there yet. Raises OSError when it cannot be written, and UserError without a fitted
        latent, and for one of another digest."""
        directory.mkdir(parents=True)
        for name in (_FACTS, _TENSORS):  # a fit that ends meanwhile replaces the tensors first: facts of another one come with its tensors
            try:
                source = (self.directory / name).open("rb")
            except OSError as error:
                raise _unusable(self.directory, error) from None
            with source, (directory / name).open("wb") as copy:
                shutil.copyfileobj(source, copy)
        if file_digest(directory / _TENSORS) != self.digest:
            raise UserError(f"{self.directory}: its latent was replaced while it was in use; put the former one back, or use --fresh")


def keep_latent(manifest: Manifest, directory: Path, digest: str | None) -> KeptLatent | None:
    """The run's own copy, in `directory`, of the trained latent that the manifest uses, whose `latent_digest` is `digest`; None without
    one. Raises UserError, also when another one is there by now."""
    if digest is None:
        return None
    kept = KeptLatent(directory, digest)
    if _holds(kept):
        return kept
    partial = directory.with_name(f".{directory.name}.partial")
    try:
        for left in (partial, directory):
            shutil.rmtree(left, ignore_errors=True)
        KeptLatent(manifest.latent.weights, digest).copy_to(partial)
        sync_tree(partial)
        partial.rename(directory)
        sync(directory.parent)
    except OSError as error:
        raise UserError(f"{directory}: cannot be written ({error}); make room there, or set runs_dir to a disk that has some") from None
    return kept


def _holds(kept: KeptLatent) -> bool:
    """Whether it was copied before."""
    try:
        return (kept.directory / _FACTS).exists() and file_digest(kept.directory / _TENSORS) == kept.digest
    except OSError:
        return False


def load_cvae(manifest: Manifest) -> tuple[CvaeShape, dict[str, Tensor]]:
    """Sizes and state of the Cvae in `latent.weights`. Raises UserError unless dimension, encoder and policy are the manifest's."""
    directory, latent = manifest.latent.weights, manifest.latent
    facts = _facts(directory)
    try:
        shape, trained = CvaeShape(**facts["cvae"]), EncoderConfig.model_validate(facts["encoder"])
    except (TypeError, ValidationError) as error:
        raise _unusable(directory, error) from None
    if shape.dim != latent.dim:
        raise UserError(f"latent.dim={latent.dim}: the prior in {str(directory)!r} has dimension {shape.dim}; set latent.dim to that")
    for key in ("kind", "window"):
        if getattr(trained, key) != getattr(latent.encoder, key):
            raise UserError(
                f"latent.encoder.{key}={getattr(latent.encoder, key)}: the prior in {str(directory)!r} was trained with "
                f"{getattr(trained, key)}; set latent.encoder.{key} to that"
            )
    _require_policy(manifest, facts)
    if facts["weights"]["encoder"] != encoder_identity(latent.encoder, manifest.model):
        raise UserError(
            f"latent.encoder.path={latent.encoder.path!r}: its weights are not those that the latent in {str(directory)!r} was fitted to; "
            "use that encoder, or fit the latent to this one with `ib-lpo latent fit`"
        )
    tensors = _tensors(directory)
    return shape, {name.removeprefix(_CVAE): tensor for name, tensor in tensors.items() if name.startswith(_CVAE)}


def build_maps(manifest: Manifest, shape: MapShape, dtype: torch.dtype) -> LatentMaps:
    """The maps, frozen: from `latent.weights` where that holds some, else drawn from the manifest's seed. Raises UserError for misfits."""
    maps = untrained_maps(manifest, shape)
    if has_maps(manifest, shape):
        directory = manifest.latent.weights
        stored = _tensors(directory).items()
        restore(maps, {name.removeprefix(MAPS): tensor for name, tensor in stored if name.startswith(MAPS)}, directory)
    return maps.to(dtype)


def restore(network: nn.Module, tensors: dict[str, Tensor], directory: Path) -> None:
    """Load `tensors` of `directory` into `network`. Raises UserError when they are not those it has."""
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:  # names or shapes
        raise _unusable(directory, error) from None


def untrained_maps(manifest: Manifest, shape: MapShape) -> LatentMaps:
    """Maps drawn from the manifest's seed, frozen, float32."""
    maps = LatentMaps(shape).requires_grad_(False)
    maps.reset(std=manifest.latent.psa.init_std, seed=derive(manifest.seed, "psa"))
    return maps


def has_maps(manifest: Manifest, shape: MapShape) -> bool:
    """Whether `latent.weights` holds trained maps. Raises UserError when they are of another shape or policy. Reads none of them."""
    directory = manifest.latent.weights
    facts = None if directory is None else _facts(directory)
    if facts is None or (stored := facts["maps"]) is None:
        return False
    wanted = _sizes(shape)
    for key, value in wanted.items():
        if stored.get(key) != value:
            raise UserError(
                f"latent.weights={str(directory)!r}: its maps have {key}={stored.get(key)}, this model with latent.dim, latent.injection "
                f"and latent.psa as set needs {value}; use the model and the settings it was fitted with"
            )
    _require_policy(manifest, facts)
    return True


def latent_digest(manifest: Manifest) -> str | None:
    """SHA-256 of the trained latent that the manifest uses, None without one. Raises UserError when it is not there."""
    latent = manifest.latent
    if latent.kind == "none" or latent.weights is None:
        return None
    try:
        return file_digest(latent.weights / _TENSORS)
    except OSError as error:
        raise _unusable(latent.weights, error) from None


def read_report(directory: Path) -> dict[str, Any]:
    """What the fit found at its end. Raises UserError without a fitted latent."""
    return _facts(directory)["report"]


def _sizes(shape: MapShape) -> dict[str, Any]:
    """What trained maps depend on, as JSON gives it back. Gates act outside of them."""
    sizes = {field: getattr(shape, field) for field in shape.__slots__ if field != "layer_gates"}
    return sizes | {"layers": list(shape.layers)}


def _require_policy(manifest: Manifest, facts: dict[str, Any]) -> None:
    if facts["weights"]["model"] != policy_identity(manifest.model):
        raise UserError(
            f"model.path={manifest.model.path!r}: the latent in {str(manifest.latent.weights)!r} was fitted to a model with other input "
            "embeddings; use that model, or fit the latent to this one with `ib-lpo latent fit`"
        )


def _facts(directory: Path) -> dict[str, Any]:
    try:
        facts = json.loads((directory / _FACTS).read_text())
        found = {key: facts[key] for key in ("cvae", "encoder", "maps", "report")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unusable(directory, error) from None
    weights = facts.get("weights")
    if not isinstance(weights, dict) or not {"model", "encoder"} <= weights.keys():
        raise UserError(
            f"latent.weights={str(directory)!r}: its {_FACTS} does not say which model and encoder it was fitted to; save it anew, from "
            "the fit's last step, with `ib-lpo latent fit MANIFEST --resume`"
        )
    return found | {"weights": weights}


def _tensors(directory: Path) -> dict[str, Tensor]:
    try:
        with safe_open(directory / _TENSORS, framework="pt") as stored:
            return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise _unusable(directory, error) from None


def _unusable(directory: Path, error: Exception) -> UserError:
    cause = " ".join(str(error).split())[:200]
    return UserError(
        f"latent.weights={str(directory)!r}: no usable {_FACTS} and {_TENSORS} there ({type(error).__name__}: {cause}); give a directory "
        "that `ib-lpo latent fit` wrote, or remove the key"
    )
