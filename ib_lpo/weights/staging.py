"""What the versions under way take on learner rank 0, against `weights.staging_gb`."""

import torch
from transformers import AutoModelForCausalLM

from ib_lpo.errors import UserError
from ib_lpo.manifest import Manifest
from ib_lpo.policy.load import load_config
from ib_lpo.weights.config import WeightsConfig
from ib_lpo.weights.dtype import copy_dtype

VERSIONS_HELD = 2  # while a run trains: the one that is sent, and the one before for whoever is replaced


def check_staging(manifest: Manifest, device: str) -> None:
    """Raise UserError when the policy, without maps of z, does not fit; from its configuration alone. `device`: "cpu" or "cuda"."""
    with torch.device("meta"):
        policy = AutoModelForCausalLM.from_config(load_config(manifest.model), trust_remote_code=manifest.model.trust_remote_code)
    dtype = copy_dtype(manifest, device)
    require_room(sum(p.numel() for p in policy.parameters()) * dtype.itemsize, VERSIONS_HELD, dtype, manifest.weights)


def require_room(nbytes: int, versions: int, dtype: torch.dtype, config: WeightsConfig) -> None:
    """Raise UserError when `versions` of `nbytes` each are more than may be staged."""
    held = versions * nbytes
    if held > config.staging_gb * 1e9:
        raise UserError(
            f"weights.staging_gb={config.staging_gb:g}: {versions} version{'s' * (versions > 1)} of the policy in "
            f"{str(dtype).removeprefix('torch.')} take {held / 1e9:.1f} GB in the process that sends them (when training, learner rank 0); "
            "raise it to that" + (", or halve them by weights.dtype: bfloat16" if dtype == torch.float32 else "")
        )
