"""Real engines over tiny random policies, and the plain-PyTorch numbers they must reproduce."""

from dataclasses import dataclass

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

from ib_lpo.latent.injection import LatentMaps, MapShape
from ib_lpo.manifest import Manifest, validate
from ib_lpo.rollout.engine import RolloutEngine
from ib_lpo.rollout.request import Generation, GenerationRequest
from ib_lpo.weights.dtype import copy_dtype
from ib_lpo.weights.parcel import Parcel, Receipt
from tests.rollout.dense import dense_logits
from tests.system.tiny_policy import save_tokenizer
from tests.weights.sending import parcel

VOCAB, DIM, BLOCK = 200, 16, 32
TEMPERATURE = 0.8
_SIZES = {
    "vocab_size": VOCAB,
    "hidden_size": 128,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "eos_token_id": 1,
    "initializer_range": 0.1,
}
_POLICIES = {
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**_SIZES, tie_word_embeddings=True)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**_SIZES, head_dim=32, tie_word_embeddings=True)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**_SIZES, tie_word_embeddings=False)),
}


def policy(architecture: str, seed: int = 0) -> PreTrainedModel:
    """A random policy whose biases and norms are away from 0 and 1."""
    torch.manual_seed(seed)
    model = _POLICIES[architecture]().float().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


@dataclass
class Served:
    """An engine, and the policy and PSA maps whose weights it serves."""

    engine: RolloutEngine
    manifest: Manifest
    model: PreTrainedModel
    maps: LatentMaps | None

    def tensors(self) -> list[tuple[str, torch.Tensor]]:
        """What the learner would publish."""
        maps = [] if self.maps is None else [(f"maps.{name}", tensor) for name, tensor in self.maps.named_parameters()]
        return [*self.model.named_parameters(), *maps]

    def parcel(self, version: int) -> Parcel:
        """Now, in the engine's type."""
        return parcel(self.tensors(), version, dtype=copy_dtype(self.manifest, "cpu"))

    def publish(self, version: int) -> Receipt:
        self.engine.stage(self.parcel(version))
        return self.engine.commit(version)

    def run(self, requests: list[GenerationRequest]) -> dict[str, Generation]:
        finished: dict[str, Generation] = {}
        waiting = requests
        while len(finished) < len(requests):
            finished.update((g.id, g) for g in self.engine.advance(waiting))
            waiting = []
        return finished

    def errors(self, request: GenerationRequest, generation: Generation) -> tuple[float, float]:
        """Largest |delta log-prob| and |delta entropy| against the slot-free straight-line reference, nats."""
        logprobs, entropies = self.deltas(request, generation)
        return float(logprobs.max()), float(entropies.max())

    def deltas(self, request: GenerationRequest, generation: Generation) -> tuple[torch.Tensor, torch.Tensor]:
        """|delta log-prob| and |delta entropy| of each token against the reference, as if the present weights had made all of them, nats.

        The reference's log-prob is that of the nucleus: infinitely far away for a token outside it.
        """
        ids = torch.from_numpy(np.concatenate([request.prefix_ids, generation.token_ids])).long()
        z = None if request.latent is None else torch.from_numpy(request.latent)
        layers = () if self.maps is None else self.maps.shape.layers
        fork = len(request.prefix_ids) - 1
        how = {"z": z, "fork": fork, "injection": self.manifest.latent.injection}
        logits = dense_logits(self.model, ids[:-1], self.maps, layers, self.manifest.latent.psa, **how)[fork:]
        raw = logits.log_softmax(-1)
        cut = nucleus(logits / request.temperature, top_p=request.top_p, top_k=request.top_k)
        logprobs = cut.log_softmax(-1).gather(-1, ids[fork + 1 :, None]).squeeze(-1)
        entropies = -(raw.exp() * raw).sum(-1)
        return (logprobs - torch.from_numpy(generation.logprobs)).abs(), (entropies - torch.from_numpy(generation.entropies)).abs()


def nucleus(logits: torch.Tensor, *, top_p: float, top_k: int | None) -> torch.Tensor:
    """Logits [T, V] with -inf outside the `top_k` most probable tokens and, of what these renormalise to, the fewest that reach `top_p`."""
    cut = torch.full_like(logits, -torch.inf)
    for row, out in zip(logits, cut, strict=True):
        best = row.argsort(descending=True)[:top_k]
        before = row[best].softmax(-1).cumsum(-1).roll(1)
        before[0] = 0.0
        kept = best[(before < top_p) | (top_p == 1.0)]  # the sum may round to 1 before the last token
        out[kept] = row[kept]
    return cut


def serve(directory, architecture: str, *, latent: dict, kv_cache_gb: float = 0.05, rollout: dict | None = None, **sections) -> Served:
    """Start an engine on random weights of `architecture` and publish version 0 to it; further sections go into the manifest."""
    model = policy(architecture)
    model.save_pretrained(directory)
    save_tokenizer(directory)
    manifest = validate(
        {
            "name": "test",
            "steps": 1,
            "model": {"path": str(directory)},
            "rollout": {
                "max_prompt_tokens": 120,
                "max_response_tokens": 60,
                "kv_cache_gb": kv_cache_gb,
                "max_running": 16,
                "max_batched_tokens": 48,  # prompts are prefilled in chunks
                "block_size": BLOCK,
                **(rollout or {}),
            },
            "latent": {"kind": "normal", "untrained": True, "dim": DIM, **latent},
            **sections,
        }
    )
    maps = None
    if manifest.latent.kind != "none":
        maps = LatentMaps(MapShape.of(model.config, manifest.latent))
        maps.reset(std=0.5, seed=1)
    served = Served(RolloutEngine(manifest, 0, "cpu"), manifest, model, maps)
    served.publish(0)
    return served


def prompts(sizes: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(2, VOCAB, size=n).astype(np.int32) for n in sizes]


def latents(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return list(rng.standard_normal((count, DIM)).astype(np.float32))


def request(id: str, prefix: np.ndarray, *, seed: int = 0, latent: np.ndarray | None = None, tokens: int = 12) -> GenerationRequest:
    return GenerationRequest(id=id, prefix_ids=prefix, max_new_tokens=tokens, seed=seed, temperature=TEMPERATURE, latent=latent)


def mixed_branches(prefixes: list[np.ndarray], per_prefix: int = 3) -> list[GenerationRequest]:
    """Branches of every prefix, each with a latent of its own, except the last of each, which has none."""
    zs = iter(latents(len(prefixes) * per_prefix))
    return [
        request(f"p{i}b{k}", prefix, seed=10 * i + k, latent=None if k == per_prefix - 1 else next(zs))
        for i, prefix in enumerate(prefixes)
        for k in range(per_prefix)
    ]
