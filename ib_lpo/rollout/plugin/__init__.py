"""The vLLM plugin (entry point `vllm.general_plugins`): PSA models, exact entropies, weight updates in place.

vLLM calls `register` in every process it starts, so it must be re-entrant and import nothing heavy: classes are named by path
and imported when first used. The hooks below it are vLLM internals, hence the exact version pin, checked by the engine at start.
"""

ARCHITECTURES = {"qwen2": "PsaQwen2ForCausalLM", "qwen3": "PsaQwen3ForCausalLM", "llama": "PsaLlamaForCausalLM"}  # by model_type
VLLM_VERSION = "0.32.0"


def register() -> None:
    """Make the PSA architectures known to vLLM."""
    from vllm import ModelRegistry

    known = ModelRegistry.get_supported_archs()
    for name in ARCHITECTURES.values():
        if name not in known:
            ModelRegistry.register_model(name, f"ib_lpo.rollout.plugin.model:{name}")
