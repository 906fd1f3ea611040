"""The token ids that end a response."""

from transformers import GenerationConfig

from ib_lpo.policy.config import ModelConfig
from ib_lpo.policy.load import load_config


def end_token_ids(model: ModelConfig) -> list[int]:
    """Ascending end-of-sequence ids from generation_config.json, or else from config.json; may be empty."""
    try:
        ends = GenerationConfig.from_pretrained(model.path, revision=model.revision).eos_token_id
    except OSError:  # a model directory need not have one
        ends = None
    if ends is None:
        ends = load_config(model).eos_token_id
    return sorted({ends} if isinstance(ends, int) else set(ends or ()))
