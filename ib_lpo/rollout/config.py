"""Settings of the rollout engines."""

from pydantic import Field

from ib_lpo.section import Section

RESERVED_ROWS = 256  # vocabulary rows that an engine adds: one for entropies, the others digits of slot handles


class RolloutConfig(Section):
    """How answers are sampled (method.md section 1) and how vLLM is set up."""

    engines: int = Field(1, ge=1)
    """Number of RolloutEngine actors, each with a whole copy of the policy."""
    max_prompt_tokens: int = Field(2048, ge=1)
    """Longest accepted question prompt, tokens; a longer one is an error when the data is loaded, never cut."""
    max_response_tokens: int = Field(4096, ge=2)
    """Longest response of a trajectory, tokens, the prefix shared with its root included."""
    temperature: float = Field(0.9, gt=0.0)
    """Sampling temperature; behaviour and learner log-probs are both taken at it."""
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    """Nucleus of training rollouts, taken after the temperature; 1: off. Below 1 an engine reports log-probs within the nucleus, up to
    -log(top_p) above the learner's: refused together with an importance ratio. The held-out check samples without it."""
    top_k: int | None = Field(None, ge=1)
    """Most probable tokens that a training rollout samples from; null: all. Refused as top_p is."""
    stop_tokens: tuple[int | str, ...] | None = None
    """Tokens that end a response, as ids or texts; null: the union of what config.json, generation_config.json and the tokenizer name as
    the end, and of what the chat template puts behind an answer. They are printed at start."""
    max_running: int = Field(64, ge=1)
    """Most sequences decoded together by one engine (vLLM max_num_seqs)."""
    max_batched_tokens: int = Field(2048, ge=32)
    """Token budget of one engine iteration; longer prompts are prefilled in chunks."""
    block_size: int = Field(32, ge=16)
    """Tokens per KV-cache block; vLLM on CPU wants a multiple of 32."""
    kv_cache_gb: float = Field(1.0, gt=0.0)
    """KV-cache memory of one engine on CPU, GB; on GPU `gpu_memory_fraction` rules."""
    gpu_memory_fraction: float = Field(0.85, gt=0.0, le=1.0)
    """Share of a GPU's memory that one engine may use."""
    enforce_eager: bool = False
    """Run without CUDA graphs; always so on CPU."""
    max_iterations_per_call: int = Field(64, ge=1)
    """Engine iterations after which `advance` returns even if nothing has finished, so that a live engine is heard from."""
