"""Which kv heads a tensor-parallel rank holds: all of them together, each equally often, and the ones that vLLM gives it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from vllm.config import VllmConfig, set_current_vllm_config
from vllm.model_executor import parameter
from vllm.model_executor.layers import linear

from ib_lpo.latent.config import LatentConfig
from ib_lpo.latent.injection import LatentMaps
from ib_lpo.rollout.plugin.parallel import kv_head_slice
from ib_lpo.rollout.plugin.rows import LatentRows
from ib_lpo.rollout.plugin.spec import PluginSpec
from tests.rollout.serving import policy

SHARED = st.tuples(st.integers(1, 16), st.integers(1, 8)).map(lambda pair: (pair[0] * pair[1], pair[1]))  # heads, fewer ranks
COPIED = st.tuples(st.integers(1, 8), st.integers(1, 8)).map(lambda pair: (pair[0], pair[0] * pair[1]))  # heads, more ranks


def held(kv_heads: int, world: int) -> list[int]:
    """Heads of rank 0, then of rank 1, and so on."""
    return [head for rank in range(world) for head in range(kv_heads)[kv_head_slice(kv_heads, rank, world)]]


@given(SHARED)
def test_the_ranks_slices_in_order_are_all_heads_in_order(sizes):
    assert held(*sizes) == list(range(sizes[0]))


@given(COPIED)
def test_where_ranks_are_more_each_head_is_on_equally_many_neighbours(sizes):
    kv_heads, world = sizes
    assert held(*sizes) == np.repeat(np.arange(kv_heads), world // kv_heads).tolist()


@given(st.integers(1, 64), st.integers(1, 64))
def test_numbers_that_do_not_divide_are_refused(kv_heads, world):
    if kv_heads % world and world % kv_heads:
        with pytest.raises(ValueError, match=f"{kv_heads} kv heads do not divide among {world}"):
            kv_head_slice(kv_heads, 0, world)
    else:
        assert len(held(kv_heads, world)) == max(kv_heads, world)


@pytest.mark.parametrize("rank", [-1, 4])
def test_a_rank_that_is_not_there_is_refused(rank):
    with pytest.raises(ValueError, match="ranks run from 0 to 3"):
        kv_head_slice(8, rank, 4)


@pytest.mark.parametrize("world", [1, 2, 4, 8])
def test_a_rank_holds_the_heads_of_which_vllm_gives_it_the_keys(monkeypatch, world):
    """vLLM's own QKVParallelLinear loads a k_proj whose rows carry the number of their head."""
    q_heads, kv_heads, head_dim = 8, 4, 2
    keys = torch.arange(kv_heads).repeat_interleave(head_dim).float()[:, None].expand(-1, 6)
    for rank in range(world):
        for module in (linear, parameter):
            monkeypatch.setattr(module, "get_tensor_model_parallel_rank", lambda rank=rank: rank)
            monkeypatch.setattr(module, "get_tensor_model_parallel_world_size", lambda: world)
        with set_current_vllm_config(VllmConfig()):
            layer = linear.QKVParallelLinear(6, head_dim, q_heads, kv_heads, bias=False)
        layer.weight_loader(layer.weight, keys, "k")
        q_size, kv_size = layer.num_heads * head_dim, layer.num_kv_heads * head_dim
        loaded = layer.weight[q_size : q_size + kv_size, 0].detach().reshape(-1, head_dim)[:, 0].int().tolist()
        assert loaded == list(range(kv_heads))[kv_head_slice(kv_heads, rank, world)]


@pytest.mark.parametrize("world", [1, 2, 4])
def test_the_table_of_a_rank_holds_its_heads_of_k_and_v_and_the_whole_modulation(world):
    config, latent = policy("qwen3").config, LatentConfig(kind="normal", dim=16)
    spec = PluginSpec.of(config, latent.model_copy(update={"psa": latent.psa.model_copy(update={"layers": (0, 2)})}))
    maps = LatentMaps(spec.maps)
    maps.reset(std=0.5, seed=0)
    z = np.random.default_rng(0).standard_normal(16).astype(np.float32)
    terms = maps(torch.from_numpy(z))
    for rank in range(world):
        heads = kv_head_slice(spec.maps.kv_heads, rank, world)
        rows = LatentRows(spec, maps, heads=heads, capacity=2, max_tokens=4, device=torch.device("cpu"), dtype=torch.float32)
        rows.put(2, z.tobytes(), fork=5)
        assert torch.equal(rows.k[2], terms.k[:, :, heads])
        assert torch.equal(rows.v[2], terms.v[:, :, heads])
        assert torch.equal(rows.norm[:, :, 2], terms.norm)
        assert not rows.k[:2].any() and not rows.norm[:, :, :2].any()


def test_an_iteration_has_slots_exactly_when_it_computes_one():
    spec = PluginSpec.of(policy("qwen3").config, LatentConfig(kind="normal", dim=16, psa={"layers": 1, "k_slots": 3}))
    rows = LatentRows(
        spec, LatentMaps(spec.maps), heads=slice(0, 2), capacity=3, max_tokens=4, device=torch.device("cpu"), dtype=torch.float32
    )
    rows.put(1, bytes(64), fork=10)
    rows.put(2, bytes(64), fork=20)
    slots = {1: range(10, 13), 2: range(20, 23), 3: range(0)}
    for row, begin, count in ((row, begin, count) for row in slots for begin in range(25) for count in range(1, 5)):
        expected = any(index in slots[row] for index in range(begin, begin + count))
        assert rows.has_slots(np.array([0, row]), np.array([0, begin]), np.array([9, count])) is expected
    rows.clear(1)
    assert rows.has_slots(np.array([1]), np.array([10]), np.array([3])) is False
