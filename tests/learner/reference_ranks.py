"""What the tests of the reference model run inside two real ranks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import Qwen3ForCausalLM

from ib_lpo.checkpoints.learner_state import LearnerState, Part, Progress, write_index
from ib_lpo.learner import model, zero, zero_state
from ib_lpo.learner.reference import Reference, build_reference
from ib_lpo.manifest import Manifest, validate
from ib_lpo.policy import forest
from tests.learner.tiny import policy_config

VOCAB, TEMPERATURE = 2048, 0.8  # the embedding is large enough to be sharded, see zero_ranks.WIDTH


def save_policy(path: Path) -> Path:
    torch.manual_seed(3)
    Qwen3ForCausalLM(policy_config(VOCAB)).save_pretrained(path)
    return path


def manifest(path: Path, *, offload: bool) -> Manifest:
    learner = {"lr": 0.01, "logprob_chunk": 7, "kl": {"coefficient": 0.1, "offload": offload}}
    return validate(
        {
            "name": "reference-test",
            "steps": 3,
            "model": {"path": str(path)},
            "latent": {"kind": "none"},
            "rollout": {"temperature": TEMPERATURE},
            "learner": learner,
        }
    )


def paths(rank: int) -> list[forest.Path]:
    """Three sequences, two of which share a prefix; every rank has its own."""
    rng = np.random.default_rng(rank)
    prompt = rng.integers(0, VOCAB, 4)
    tails = [rng.integers(0, VOCAB, length) for length in (5, 9)]
    alone = rng.integers(0, VOCAB, 7)
    return [forest.Path(ids=np.concatenate([prompt, tail]), start=4) for tail in tails] + [forest.Path(ids=alone, start=2)]


@dataclass
class Seen:
    """What one rank saw: log-probs of the reference before, between and after the steps, and the trained policy's side."""

    reference: list[Tensor]
    norms: list[float | None]
    weights: dict[str, Tensor]
    whole: list[str]  # sharded parameters of the reference that a pass left whole on this rank
    checkpoint_bytes: int


def train_beside(rank: int, path: Path, checkpoint: Path, dtype: torch.dtype, offload: bool | None, resume: bool = False) -> Seen:
    """Two steps with (offload: False or True) or without (None) a reference, then a checkpoint; with `resume` from that checkpoint on."""
    settings = manifest(path, offload=bool(offload))
    engine = zero.build_engine(model.build_policy(settings, dtype), settings.learner, dtype, "cpu")
    reference = None if offload is None else build_reference(settings, dtype, "cpu")
    if resume:
        zero_state.load_state(engine, LearnerState(checkpoint), rank=rank)
    planted = forest.plant(paths(rank), share=True)
    seen = Seen(_values(reference, planted), [], {}, _whole(reference), 0)
    for _ in range(2):
        zero.fresh_gradients(engine)
        logprobs, _ = engine(planted)
        seen.reference += _values(reference, planted)  # between a forward pass and its backward pass
        engine.backward(-logprobs.mean(), scale_wrt_gas=False)
        seen.norms.append(zero.apply(engine))
        seen.reference += _values(reference, planted)
    seen.weights = {name: tensor.clone() for name, tensor in zero.whole_weights(engine.module, 1 << 20, keep=True)}
    if not resume:
        _save(engine, checkpoint, rank)
        seen.checkpoint_bytes = sum(file.stat().st_size for file in checkpoint.rglob("*") if file.is_file())
    if reference is not None:
        reference.destroy()
    engine.destroy()
    return seen


def _save(engine: Any, checkpoint: Path, rank: int) -> None:
    """Both ranks' files; each ends up with the same learner.json."""
    checkpoint.mkdir(exist_ok=True)
    entries = [None, None]
    torch.distributed.all_gather_object(entries, zero_state.save_state(engine, checkpoint, rank=rank, world=2, file_bytes=1 << 20))
    progress = Progress(last_step=2, optimiser_steps=zero_state.optimiser_steps(engine), dtype="float32")
    if rank == 0:
        write_index(checkpoint, [Part(of_rank, progress) for of_rank in entries])
    torch.distributed.barrier()


def _values(reference: Reference | None, planted: forest.Forest) -> list[Tensor]:
    return [] if reference is None else [reference(planted)]


def _whole(reference: Reference | None) -> list[str]:
    from deepspeed.runtime.zero.partition_parameters import ZeroParamStatus

    parameters = () if reference is None else reference._engine.module.named_parameters()
    return [name for name, p in parameters if not p.ds_persist and p.ds_status != ZeroParamStatus.NOT_AVAILABLE]
