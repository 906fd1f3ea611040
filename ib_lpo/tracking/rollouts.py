"""A sample of a step's trajectories for people to read: the same rows in rollouts.jsonl and in a wandb table.

Which ones is a function of seed, step and trajectories alone, so a resumed run writes what an uninterrupted one writes.
"""

from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from typing import Any

from ib_lpo.seeds import generator
from ib_lpo.tracking.config import TrackingConfig
from ib_lpo.tree import RolloutTree, Trajectory

Row = dict[str, Any]
Decode = Callable[[list[int]], str]
TABLE_HEAD, TABLE_TAIL = 3000, 1000  # characters of a response that the wandb table holds of its two ends; rollouts.jsonl has it whole


def rollouts(trees: Sequence[RolloutTree], step: int, config: TrackingConfig, *, seed: int, decode: Decode) -> list[Row]:
    """The step's sample, in the order of the trees; empty when none is due. `decode` maps token ids to text.

    Of every question equally many trajectories, as far as it has them, drawn at random; of the first questions one more where
    `config.rollouts` cannot be divided.
    """
    if config.rollouts_every == 0 or (step - 1) % config.rollouts_every:
        return []
    drawn = [[(index, member) for member in _shuffled(tree, seed, step)] for index, tree in enumerate(trees)]
    dealt = [place for place in chain.from_iterable(zip_longest(*drawn)) if place is not None]
    chosen = sorted(dealt[: config.rollouts])
    return [_row(trees[index], trees[index].trajectories[member], step, decode) for index, member in chosen]


def shortened(text: str) -> str:
    """At most TABLE_HEAD characters of the beginning and TABLE_TAIL of the end, with what was cut between them named."""
    cut = len(text) - TABLE_HEAD - TABLE_TAIL
    return text if cut <= 0 else f"{text[:TABLE_HEAD]}\n[... {cut:,} characters cut ...]\n{text[-TABLE_TAIL:]}"


def _shuffled(tree: RolloutTree, seed: int, step: int) -> list[int]:
    return generator(seed, step, "rollouts", tree.question.id).permutation(len(tree.trajectories)).tolist()


def _row(tree: RolloutTree, trajectory: Trajectory, step: int, decode: Decode) -> Row:
    """S_IB and its z-scored terms are dimensionless, terms before z-scoring and entropies nats, lengths tokens; null: not known."""
    ib, fork, response = trajectory.ib, trajectory.fork, trajectory.response_ids
    return {
        "step": step,
        "question_id": tree.question.id,
        "question": tree.question.text,
        "answer": tree.question.answer,
        "trajectory": trajectory.id,
        "parent": trajectory.parent,
        "status": trajectory.status.value,
        "verdict": trajectory.verdict and trajectory.verdict.value,
        "reward": trajectory.reward,
        "kept": trajectory.kept,
        "label": trajectory.label and trajectory.label.value,
        "advantage": trajectory.advantage,
        "s_ib": ib and ib.score,
        "relevance": ib and ib.relevance,
        "compression": ib and ib.compression,
        "relevance_z": ib and ib.relevance_z,
        "compression_z": ib and ib.compression_z,
        "rank": trajectory.rank,
        "failures": ", ".join(failure.mode for failure in trajectory.failures),
        "fork_position": fork and fork.position,
        "fork_entropy": fork and fork.entropy,
        "tokens": int(response.size),
        "own_tokens": int(trajectory.token_ids.size),
        "mean_entropy": float(trajectory.entropies.mean()) if trajectory.entropies.size else None,  # of its own tokens
        "text": decode(response.tolist()),
    }
