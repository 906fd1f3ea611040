"""Settings of the policy model."""

from pydantic import Field

from ib_lpo.section import Section


class ModelConfig(Section):
    """A Hugging Face causal language model: Qwen2, Qwen3 or Llama architecture."""

    path: str
    """Local directory or hub id."""
    revision: str | None = None
    """Hub revision."""
    trust_remote_code: bool = False
    """Run code shipped with the model; printed at start when on."""
    max_context: int | None = Field(None, ge=2)
    """Context length in tokens, when shorter than the model's own is wanted."""
