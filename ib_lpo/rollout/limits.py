"""How long a sequence may get."""

from transformers import PretrainedConfig

from ib_lpo.errors import UserError
from ib_lpo.manifest import Manifest


def engine_tokens(manifest: Manifest) -> int:
    """The longest sequence an engine holds: prompt, response and the slots of a latent."""
    slots = 0 if manifest.latent.kind == "none" else manifest.latent.psa.k_slots
    return manifest.rollout.max_prompt_tokens + manifest.rollout.max_response_tokens + slots


def check_context(manifest: Manifest, config: PretrainedConfig) -> None:
    """Raise UserError when that is more than the model's context."""
    context = min(manifest.model.max_context or config.max_position_embeddings, config.max_position_embeddings)
    if engine_tokens(manifest) > context:
        rollout = manifest.rollout
        raise UserError(
            f"rollout.max_prompt_tokens={rollout.max_prompt_tokens}, rollout.max_response_tokens={rollout.max_response_tokens}: with the "
            f"latent's slots they make {engine_tokens(manifest)} tokens, the context of {manifest.model.path} has {context}; lower one"
        )
