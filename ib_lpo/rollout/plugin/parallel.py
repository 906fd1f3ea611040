"""Which kv heads a tensor-parallel rank holds, by vLLM's rule (`QKVParallelLinear`), so that K_z and V_z are cut as W_k and W_v are.

Invariant: every head is held by equally many ranks, and the ranks' slices in order are all heads in order.
"""

from vllm.distributed import get_tensor_model_parallel_rank, get_tensor_model_parallel_world_size

from ib_lpo.rollout.plugin.spec import PluginSpec


def kv_head_slice(kv_heads: int, rank: int, world: int) -> slice:
    """The kv heads of `rank` among `world` ranks: a share each, or one head on `world / kv_heads` neighbouring ranks when ranks are more.

    Raises ValueError when neither number divides the other, or for a rank that is not there.
    """
    if not 0 <= rank < world:
        raise ValueError(f"tensor-parallel rank {rank} of {world}: ranks run from 0 to {world - 1}")
    if kv_heads % world and world % kv_heads:
        raise ValueError(
            f"{kv_heads} kv heads do not divide among {world} tensor-parallel ranks; use a divisor or a multiple of {kv_heads}"
        )
    share, replicas = max(1, kv_heads // world), max(1, world // kv_heads)
    first = rank // replicas * share
    return slice(first, first + share)


def own_kv_heads(spec: PluginSpec) -> slice:
    """The kv heads of this process."""
    return kv_head_slice(spec.maps.kv_heads, get_tensor_model_parallel_rank(), get_tensor_model_parallel_world_size())
