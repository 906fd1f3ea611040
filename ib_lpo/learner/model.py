"""What the learner trains: the policy with its token log-probs as one module, and the frozen PSA maps beside it.

Whatever touches a trained parameter happens inside PolicyModule.forward, where ZeRO-3 gathers it. PSA maps are frozen, small and the
same on every rank, so they stay outside of the engine.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from ib_lpo.latent.psa import PsaMaps, PsaShape
from ib_lpo.manifest import Manifest
from ib_lpo.policy.load import PolicyError, load_policy
from ib_lpo.policy.logprobs import token_logprobs
from ib_lpo.policy.psa_attention import PsaContext, install
from ib_lpo.seeds import derive


class PolicyModule(nn.Module):
    """The policy and its token log-probs, as one module for the engine."""

    def __init__(self, policy: PreTrainedModel, *, temperature: float, chunk: int):
        super().__init__()
        self.policy = policy
        self._temperature, self._chunk = temperature, chunk

    def forward(self, ids: Tensor, source: Tensor, targets: Tensor, psa: PsaContext | None = None) -> tuple[Tensor, Tensor]:
        """ids [B, L] right-padded; source, targets [N] as in MicroBatch. Returns log-probs at the sampling temperature and raw
        entropies, float32 [N]. No padding mask: a causal model's real tokens never see what stands to their right."""
        keywords = {} if psa is None else {"psa": psa}
        hidden = self.policy.model(input_ids=ids, use_cache=False, **keywords).last_hidden_state
        chosen = hidden.flatten(0, 1).index_select(0, source)
        return token_logprobs(chosen, self.policy.lm_head.weight, targets, temperature=self._temperature, chunk=self._chunk)


def build_policy(manifest: Manifest, dtype: torch.dtype) -> tuple[PolicyModule, PsaMaps | None]:
    """The policy on the CPU, with PSA installed when latents are on, and the frozen maps. Raises PolicyError."""
    policy = load_policy(manifest.model, dtype=dtype, device="cpu")
    maps = None
    if manifest.latent.kind != "none":
        maps = psa_maps(manifest, PsaShape.of(policy.config, manifest.latent.psa, manifest.latent.dim), dtype)
        install(policy, maps.shape)
    if manifest.learner.gradient_checkpointing:
        policy.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    module = PolicyModule(policy, temperature=manifest.rollout.temperature, chunk=manifest.learner.logprob_chunk)
    return module.train(), maps


def psa_maps(manifest: Manifest, shape: PsaShape, dtype: torch.dtype) -> PsaMaps:
    """Frozen W_kv and W_n: from `latent.psa_weights`, else drawn from the manifest's seed. Raises PolicyError for an unfit file."""
    maps = PsaMaps(shape).requires_grad_(False)
    if manifest.latent.psa_weights is None:
        maps.reset(std=manifest.latent.psa.init_std, seed=derive(manifest.seed, "psa"))
    else:
        _read_maps(maps, manifest.latent.psa_weights)
    return maps.to(dtype)


def _read_maps(maps: PsaMaps, path: Path) -> None:
    if not path.is_file():
        raise PolicyError(
            f"latent.psa_weights={str(path)!r}: no such file; give a safetensors file with psa.kv and psa.norm, or remove the key"
        )
    stored = load_file(path)
    for name, parameter in maps.named_parameters():
        found = stored.get(f"psa.{name}")
        if found is None or found.shape != parameter.shape:
            raise PolicyError(
                f"latent.psa_weights={str(path)!r}: psa.{name} is {'absent' if found is None else list(found.shape)}, this model with "
                f"latent.dim and latent.psa as set needs {list(parameter.shape)}; use the settings it was trained with"
            )
        parameter.data.copy_(found)
