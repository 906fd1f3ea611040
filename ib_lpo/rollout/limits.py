"""How long a sequence may get."""

from transformers import PretrainedConfig

from ib_lpo.errors import UserError
from ib_lpo.manifest import Manifest


def engine_tokens(manifest: Manifest) -> int:
    """The longest sequence an engine holds: prompt, response and the slots of a latent."""
    slots = 0 if manifest.latent.kind == "none" else manifest.latent.psa.k_slots
    return manifest.rollout.max_prompt_tokens + manifest.rollout.max_response_tokens + slots


def context_tokens(manifest: Manifest, config: PretrainedConfig) -> int:
    """The longest sequence the model is meant for."""
    return min(manifest.model.max_context or config.max_position_embeddings, config.max_position_embeddings)


def check_context(manifest: Manifest, config: PretrainedConfig) -> None:
    """Raise UserError when engines hold longer sequences than the model's context."""
    context = context_tokens(manifest, config)
    if engine_tokens(manifest) > context:
        rollout = manifest.rollout
        raise UserError(
            f"rollout.max_prompt_tokens={rollout.max_prompt_tokens}, rollout.max_response_tokens={rollout.max_response_tokens}: with the "
            f"latent's slots they make {engine_tokens(manifest)} tokens, the context of {manifest.model.path} has {context}; lower one"
        )
