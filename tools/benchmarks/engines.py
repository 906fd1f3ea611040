"""Engines over one small random Qwen3: ours with and without PSA, and stock vLLM."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from benchmarks.compare import clock
from benchmarks.network import qwen3
from ib_lpo.fleet.local import LocalFleet
from ib_lpo.latent.injection import MAPS, LatentMaps, MapShape
from ib_lpo.manifest import Manifest, validate
from ib_lpo.rollout.engine import RolloutEngine
from ib_lpo.rollout.request import Generation, GenerationRequest
from ib_lpo.weights.dtype import copy_dtype
from ib_lpo.weights.publish import publish

VOCAB, LAYERS, DIM, TEMPERATURE = 32_000, 8, 128, 0.9
SHORT_VOCAB = 1024  # with it the output layer takes the 10 % of the multiplications that it takes in Qwen2.5-7B
RUNNING, CONTEXT, KV_CACHE_GB, GPU_SHARE = 32, 1024, 0.3, 0.15


def policy(folder: Path, *, vocabulary: int = VOCAB, layers: int = LAYERS, ends: bool = True) -> Path:
    """Directory of a random Qwen3 (hidden 256, 4 heads of 64, 2 of them for keys), made at its first use. With the defaults it has 14 M
    parameters. Id 1 ends a response, unless `ends` is false: then every response is as long as it may be."""
    directory = folder / f"{vocabulary}-{layers}-{ends}"
    if not directory.exists():
        torch.manual_seed(0)
        config = qwen3(vocabulary=vocabulary, layers=layers, context=2 * CONTEXT)
        config.eos_token_id = config.eos_token_id if ends else None
        Qwen3ForCausalLM(config).save_pretrained(directory)
        words = Tokenizer(WordLevel({"<pad>": 0, "<end>": 1}, unk_token="<pad>"))  # no text is ever read or written here
        PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<end>").save_pretrained(directory)
    return directory


def settings(directory: Path, *, rollout: dict | None = None, branching: dict | None = None, **latent) -> Manifest:
    """A manifest over the policy in `directory`; `latent` is that section, the other two add to what is set here."""
    sizes = {
        "max_prompt_tokens": CONTEXT,
        "max_response_tokens": CONTEXT // 2,
        "max_running": RUNNING,
        "kv_cache_gb": KV_CACHE_GB,
        "gpu_memory_fraction": GPU_SHARE,
        "temperature": TEMPERATURE,
    }
    return validate(
        {
            "name": "bench",
            "steps": 1,
            "model": {"path": str(directory)},
            "rollout": sizes | (rollout or {}),
            "branching": branching or {},
            "latent": {"kind": "normal", "untrained": True, "dim": DIM, **latent},
        }
    )


@contextmanager
def rollout_engine(manifest: Manifest, device: str) -> Iterator[RolloutEngine]:
    """A RolloutEngine of a manifest made by `settings`, with the policy's weights and random maps published to it."""
    fleet = LocalFleet()
    engine = fleet.spawn(RolloutEngine, manifest, 0, device, name="engine-0")
    model = Qwen3ForCausalLM.from_pretrained(manifest.model.path)
    tensors = list(model.named_parameters())
    if manifest.latent.kind != "none":
        maps = LatentMaps(MapShape.of(model.config, manifest.latent))
        maps.reset(std=manifest.latent.psa.init_std, seed=0)
        tensors += [(MAPS + name, parameter) for name, parameter in maps.named_parameters()]
    publish(tensors, version=0, receivers=[engine], fleet=fleet, config=manifest.weights, dtype=copy_dtype(manifest, device))
    yield engine.target
    fleet.shutdown()


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


@contextmanager
def forwarded(engine: RolloutEngine) -> Iterator[list[int]]:
    """A list that grows by the number of tokens that vLLM's scheduler hands to the model in every iteration."""
    scheduler, counts = engine._engine.engine_core.engine_core.scheduler, []

    def schedule(*args, **kwargs):
        scheduled = type(scheduler).schedule(scheduler, *args, **kwargs)
        counts.append(scheduled.total_num_scheduled_tokens)
        return scheduled

    scheduler.schedule = schedule
    try:
        yield counts
    finally:
        del scheduler.schedule


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
    return list(rng.integers(2, SHORT_VOCAB, size=(count, length), dtype=np.int32))


def finish(engine: RolloutEngine, asked: list[GenerationRequest]) -> list[Generation]:
    """Everything that was asked for, in the order in which it finished."""
    generations, waiting = [], asked
    while len(generations) < len(asked):
        generations += engine.advance(waiting)
        waiting = []
    return generations


def run(engine: RolloutEngine, asked: list[GenerationRequest], device: str) -> tuple[int, float]:
    """Generated tokens, and the seconds they took."""
    started = clock(device)
    tokens = sum(len(generation.token_ids) for generation in finish(engine, asked))
    return tokens, clock(device) - started
