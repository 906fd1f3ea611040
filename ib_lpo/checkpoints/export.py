"""`ib-lpo export`: a checkpoint as a Hugging Face model directory, which transformers and vLLM load without ib_lpo.

    OUT/   model.safetensors, or shards of at most 5 GB with their index    the policy, cast from the float32 master weights
           config.json  generation_config.json                              of the starting model
           tokenizer.json ...  chat_template.jinja                          of the starting model
           latent/                                                          when the run has a trained latent: what `latent.weights` takes

The directory appears whole or not at all. Only the policy without z is in the model; z acts through ib_lpo's engines alone.
"""

import shutil
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from transformers import PreTrainedModel

from ib_lpo.checkpoints.best import best_of
from ib_lpo.checkpoints.contents import LATENT, LEARNER, MANIFEST, recorded_manifest
from ib_lpo.checkpoints.directory import STATE, CheckpointError, complete
from ib_lpo.checkpoints.durable import let_read, sync, sync_tree
from ib_lpo.checkpoints.learner_state import LearnerState, compute_type
from ib_lpo.errors import UserError
from ib_lpo.latent.injection import LatentMaps, MapShape
from ib_lpo.latent.store import build_maps, has_maps, load_cvae, read_report, save_latent
from ib_lpo.learner.restore import restore
from ib_lpo.manifest import Manifest
from ib_lpo.policy.load import load_config, load_policy, load_tokenizer
from ib_lpo.policy.weights import check_weights
from ib_lpo.progress import say

Dtype = Literal["run", "float32", "bfloat16", "float16"]
SHARD = "5GB"


def export(source: Path, out: Path, *, dtype: Dtype = "run", best: bool = False, trust_remote_code: bool = False) -> Path:
    """Write `out`, a directory that is not there yet, from a checkpoint, or from a run directory's newest or `best` one; returns `out`.
    `trust_remote_code`: a checkpoint whose manifest has the model's own code run may have it run.

    Raises UserError for what the user can mend. Needs the starting model, and memory for the policy once.
    """
    if out.exists():
        raise UserError(f"{out}: is there already; name a directory that is not")
    checkpoint = choose(source, best=best)
    manifest = _with_own_latent(recorded_manifest(checkpoint), checkpoint)
    if manifest.model.trust_remote_code and not trust_remote_code:
        raise UserError(
            f"{checkpoint / MANIFEST}: model.trust_remote_code=true: the export would run code of {manifest.model.path!r}; give "
            "--trust-remote-code if you trust checkpoint and model"
        )
    state = LearnerState(checkpoint / LEARNER)
    torch_dtype = compute_type(state.progress) if dtype == "run" else getattr(torch, dtype)
    check_weights(manifest.model)
    tokenizer = load_tokenizer(manifest.model)
    policy = load_policy(manifest.model, dtype=torch_dtype, device="cpu")
    maps = _maps(manifest, policy)
    restore(policy, maps, checkpoint, manifest)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _save_policy(policy, manifest, partial)
        tokenizer.save_pretrained(partial)
        if (checkpoint / LATENT).exists():
            _save_latent(manifest, maps, partial)
        let_read(partial)
        sync_tree(partial)
        partial.rename(out)
        sync(out.absolute().parent)
    except (OSError, SafetensorError) as error:  # safetensors' own for a full disk
        raise UserError(f"{out}: cannot be written ({error}); make room there, or name another directory") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    say(f"{out}: {checkpoint} in {str(torch_dtype).removeprefix('torch.')}{', with its latent' if (out / LATENT).exists() else ''}")
    return out


def choose(source: Path, *, best: bool) -> Path:
    """The checkpoint that is meant. Raises CheckpointError when there is none."""
    if not (source / "checkpoints").is_dir():
        if best:
            raise CheckpointError(f"{source}: no run directory (no checkpoints/ in it), so --best has nothing to choose from; give one")
        return source if (source / STATE).exists() else _refuse(source)
    found = complete(source / "checkpoints")
    if not found:
        raise CheckpointError(f"{source}: has no complete checkpoint yet; wait for its first (checkpoint.every)")
    if not best:
        return found[-1].path
    chosen = best_of(found, config := recorded_manifest(found[-1].path).checkpoint)
    if chosen is None:
        raise CheckpointError(f"{source}: no checkpoint has a value of checkpoint.best={config.best}; export the newest without --best")
    return chosen.path


def _refuse(source: Path) -> Path:
    raise CheckpointError(f"{source}: neither a checkpoint (no {STATE} in it) nor a run directory; give one, such as runs/smoke")


def _with_own_latent(manifest: Manifest, checkpoint: Path) -> Manifest:
    """With the checkpoint's copy of the latent instead of the directory that it was copied from, which may have changed or gone."""
    if not (checkpoint / LATENT).exists():
        return manifest
    return manifest.model_copy(update={"latent": manifest.latent.model_copy(update={"weights": checkpoint / LATENT})})


def _maps(manifest: Manifest, policy: PreTrainedModel) -> LatentMaps | None:
    """Where the weights of the run's maps go, float32; None when its latent has none, or it has no trained latent."""
    shape = None if manifest.latent.kind == "none" else MapShape.of(policy.config, manifest.latent)
    return build_maps(manifest, shape, torch.float32) if shape and has_maps(manifest, shape) else None


def _save_policy(policy: PreTrainedModel, manifest: Manifest, directory: Path) -> None:
    policy.config.attention_dropout = load_config(manifest.model).attention_dropout  # which load_policy turns off
    policy.save_pretrained(directory, max_shard_size=SHARD)


def _save_latent(manifest: Manifest, maps: LatentMaps | None, directory: Path) -> None:
    """The prior, the maps as training left them, and the exported model as the one that they belong to."""
    shape, networks = load_cvae(manifest)
    exported = manifest.model_copy(update={"model": manifest.model.model_copy(update={"path": str(directory), "revision": None})})
    report = read_report(manifest.latent.weights)
    save_latent(directory / LATENT, networks=networks, shape=shape, manifest=exported, maps=maps, report=report)
