"""A tiny random Qwen3, its manifest, and rollout trees as an engine would return them."""

from pathlib import Path

import numpy as np
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from ib_lpo.learner.advantages import assign_advantages
from ib_lpo.learner.config import AdvantageConfig
from ib_lpo.manifest import Manifest, validate
from ib_lpo.tree import Fork, Question, RolloutTree, Status, Trajectory, Verdict, VersionSpan

VOCAB, DIM = 128, 8


def policy_config(vocabulary: int = VOCAB) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=128,
        tie_word_embeddings=True,
    )


def save_policy(path: Path) -> Path:
    torch.manual_seed(11)
    policy = Qwen3ForCausalLM(policy_config())
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    policy.save_pretrained(path)
    return path


def manifest(path: Path, *, ranks: int, latent: dict | None = None, **learner) -> Manifest:
    return validate(
        {
            "name": "learner-test",
            "steps": 3,
            "model": {"path": str(path)},
            "latent": {
                "kind": "normal",
                "untrained": True,
                "dim": DIM,
                "psa": {"layers": 1, "k_slots": 2, "tau": 6.0, "init_std": 1.0},
                **(latent or {}),
            },
            "ib": {"self_reward_weight": 0.05},
            "rollout": {"temperature": 0.8, "max_prompt_tokens": 12, "max_response_tokens": 28},
            "weights": {"bucket_mb": 0.05},
            "checkpoint": {"file_mb": 0.05},
            "cluster": {"group_deadline_s": 60, "call_deadline_s": 120, "rank_cpus": 0.1},
            "learner": {
                "ranks": ranks,
                "lr": 1e-3,
                "max_tokens_per_micro_batch": 40,
                "warmup_steps": 2,
                "logprob_chunk": 7,
                "grad_clip": 0.5,
                **learner,
            },
        }
    )


def trajectory(rng, id, *, reward, parent=None, prefix=(), latent=False, tokens=None, kept=True) -> Trajectory:
    count = int(rng.integers(1, 9)) if tokens is None else tokens
    fork = None if parent is None else Fork(position=len(prefix) - 1, entropy=1.0, candidates=1, prefix_length=len(prefix))
    return Trajectory(
        id=id,
        parent=parent,
        fork=fork,
        latent=rng.standard_normal(DIM).astype(np.float32) if latent else None,
        seed=0,
        engine=0,
        prefix_ids=np.asarray(prefix, dtype=np.int32),
        token_ids=rng.integers(0, VOCAB, count).astype(np.int32),
        logprobs=rng.normal(-4.8, 0.7, count).astype(np.float32),
        entropies=np.ones(count, dtype=np.float32),
        spans=(VersionSpan(version=0, start=0, end=count),),
        status=Status.FINISHED,
        cached_tokens=0,
        verdict=Verdict.UNVERIFIABLE if reward is None else Verdict.CORRECT if reward else Verdict.WRONG,
        reward=reward,
        kept=kept and reward is not None,
    )


def question(rng, id: str) -> Question:
    return Question(id=id, text="", answer="", prompt_ids=tuple(rng.integers(0, VOCAB, int(rng.integers(2, 7))).tolist()), answer_ids=(1,))


def tree(seed: int, *, latent: bool = True) -> RolloutTree:
    """Two roots with two branches each, mixed rewards; the last branch is filtered."""
    rng = np.random.default_rng(seed)
    grown = RolloutTree(question=question(rng, f"q{seed}"))
    for r in range(2):
        root = trajectory(rng, f"q{seed}/r{r}", reward=float(r), tokens=int(rng.integers(3, 9)))
        grown.trajectories.append(root)
        for b in range(2):
            prefix = root.token_ids[: int(rng.integers(1, 3))]
            reward, kept = float(rng.integers(0, 2)), (r, b) != (1, 1)
            branch = trajectory(rng, f"{root.id}/b{b}", reward=reward, parent=root.id, prefix=prefix, latent=latent, kept=kept)
            grown.trajectories.append(branch)
    return grown


def forest(seed: int, *, questions: int = 2, latent: bool = True) -> list[RolloutTree]:
    """Trees with assigned advantages."""
    trees = [tree(100 * seed + i, latent=latent) for i in range(questions)]
    assign_advantages(trees, AdvantageConfig(), max_response_tokens=28)
    return trees
