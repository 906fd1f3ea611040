"""The random Qwen3 that benchmarks run."""

from typing import Any

from transformers import Qwen3Config


def qwen3(*, vocabulary: int, layers: int, context: int, **others: Any) -> Qwen3Config:
    """Hidden 256, 4 heads of 64, 2 of them for keys, tied embeddings."""
    return Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=context,
        eos_token_id=1,
        tie_word_embeddings=True,
        **others,
    )
