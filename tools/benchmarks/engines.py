"""Engines over one small random Qwen3: ours with and without PSA, and stock vLLM."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from transformers import Qwen3ForCausalLM

from benchmarks.compare import clock
from benchmarks.network import qwen3
from ib_lpo.latent.psa import PsaMaps, PsaShape
from ib_lpo.manifest import validate
from ib_lpo.rollout.engine import RolloutEngine
from ib_lpo.rollout.request import GenerationRequest
from ib_lpo.weights.bucket import pack

VOCAB, DIM, TEMPERATURE = 32_000, 128, 0.9
RUNNING, CONTEXT, KV_CACHE_GB, GPU_SHARE = 32, 1024, 0.3, 0.15


def save_policy(directory: Path) -> None:
    """A random Qwen3 of 14 M parameters: hidden 256, 8 layers, 4 heads of 64, 2 of them for keys, vocabulary 32,000."""
    torch.manual_seed(0)
    config = qwen3(vocabulary=VOCAB, layers=8, context=2 * CONTEXT)
    Qwen3ForCausalLM(config).save_pretrained(directory)


@contextmanager
def rollout_engine(directory: Path, device: str, **latent) -> Iterator[RolloutEngine]:
    """A RolloutEngine that serves the policy in `directory`; `latent` is that section of the manifest."""
    values = {
        "name": "bench",
        "steps": 1,
        "model": {"path": str(directory)},
        "rollout": {
            "max_prompt_tokens": CONTEXT,
            "max_response_tokens": CONTEXT // 2,
            "max_running": RUNNING,
            "kv_cache_gb": KV_CACHE_GB,
            "gpu_memory_fraction": GPU_SHARE,
        },
        "latent": {"dim": DIM, **latent},
    }
    manifest = validate(values)
    engine = RolloutEngine(manifest, 0, device)
    model = Qwen3ForCausalLM.from_pretrained(directory)
    tensors = list(model.named_parameters())
    if manifest.latent.kind != "none":
        maps = PsaMaps(PsaShape.of(model.config, manifest.latent.psa, DIM))
        maps.reset(std=manifest.latent.psa.init_std, seed=0)
        tensors += [("psa.kv", maps.kv), ("psa.norm", maps.norm)]
    engine.begin_update(0)
    for bucket in pack(tensors, 16_000_000):
        engine.load_bucket(bucket)
    engine.finish_update()
    yield engine
    engine.close()


@contextmanager
def stock_engine(directory: Path, device: str) -> Iterator:
    """A vLLM engine without anything of ours."""
    from vllm.engine.arg_utils import EngineArgs
    from vllm.v1.engine.llm_engine import LLMEngine

    cpu = {"dtype": "float32", "enforce_eager": True, "block_size": 32, "kv_cache_memory_bytes": int(KV_CACHE_GB * 2**30)}
    sizes = {"max_model_len": CONTEXT + CONTEXT // 2, "max_num_seqs": RUNNING, "max_num_batched_tokens": 2048}
    rest = cpu if device == "cpu" else {"gpu_memory_utilization": GPU_SHARE}
    engine = LLMEngine.from_engine_args(EngineArgs(model=str(directory), skip_tokenizer_init=True, **sizes, **rest))
    yield engine
    engine.engine_core.shutdown()


def requests(prefixes: list[np.ndarray], *, tokens: int, rng: np.random.Generator, latent: bool) -> list[GenerationRequest]:
    """One request per prefix; with `latent`, each has a z ~ N(0, I) of its own."""
    return [
        GenerationRequest(
            id=f"q{i}",
            prefix_ids=prefix,
            max_new_tokens=tokens,
            seed=int(rng.integers(1 << 31)),
            temperature=TEMPERATURE,
            latent=rng.standard_normal(DIM).astype(np.float32) if latent else None,
        )
        for i, prefix in enumerate(prefixes)
    ]


def random_prefixes(rng: np.random.Generator, count: int, length: int) -> list[np.ndarray]:
    return list(rng.integers(2, VOCAB, size=(count, length), dtype=np.int32))


def run(engine: RolloutEngine, asked: list[GenerationRequest], device: str) -> tuple[int, float]:
    """Generated tokens, and the seconds they took."""
    started, tokens, finished = clock(device), 0, 0
    waiting = asked
    while finished < len(asked):
        generations = engine.advance(waiting)
        finished, tokens, waiting = finished + len(generations), tokens + sum(len(g.token_ids) for g in generations), []
    return tokens, clock(device) - started
