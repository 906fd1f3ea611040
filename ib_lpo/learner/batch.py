"""From kept trajectories to padded micro-batches.

Every generated token of a kept trajectory is trained exactly once: a sequence carries loss on its own tokens only, and a branch's
shared prefix is context. Every rank gets the same number of sequences (dummies without trained tokens fill up), because ZeRO-3
ranks that disagree about the number of micro-batches wait for each other until the group's deadline.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ib_lpo.tree import RolloutTree, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSequence:
    """One trajectory as the learner sees it. T = trained tokens, ids[start:]."""

    id: str
    ids: np.ndarray  # int32 [L] = prompt + prefix_ids + token_ids
    start: int  # index of the first trained token, >= 1; start - 1 is the fork of a branch
    behaviour: np.ndarray  # float32 [T], the engine's log-probs, nats, at the sampling temperature
    advantage: float
    latent: np.ndarray | None  # float32 [dim]
    version: int  # policy version that generated it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MicroBatch:
    """B sequences, right-padded to L columns; N trained tokens in sequence order, R sequences with z."""

    ids: Tensor  # int64 [B, L]
    source: Tensor  # int64 [N], index into the flattened [B * L] hidden states of the token before each trained token
    targets: Tensor  # int64 [N]
    behaviour: Tensor  # float32 [N]
    advantages: Tensor  # float32 [N]
    with_z: Tensor  # bool [N], token of a sequence with z
    rows: Tensor  # int64 [R], sequences with z
    forks: Tensor  # int64 [R], index of their last prefix token
    latents: Tensor  # float32 [R, dim]; [0, 0] without any


def sequences(trees: list[RolloutTree]) -> list[TrainSequence]:
    """Kept trajectories that have an advantage. Raises ValueError for a graded kept one without (assign_advantages has not run)."""
    found = []
    for tree in trees:
        for trajectory in tree.kept:
            if trajectory.reward is None:
                continue
            if trajectory.advantage is None:
                raise ValueError(f"{trajectory.id}: kept and graded, but has no advantage; run assign_advantages before the update")
            found.append(_sequence(tree.question.prompt_ids, trajectory))
    return found


def _sequence(prompt: tuple[int, ...], trajectory: Trajectory) -> TrainSequence:
    ids = np.concatenate([np.asarray(prompt, dtype=np.int32), trajectory.prefix_ids, trajectory.token_ids]).astype(np.int32)
    return TrainSequence(
        id=trajectory.id,
        ids=ids,
        start=len(ids) - len(trajectory.token_ids),
        behaviour=np.asarray(trajectory.logprobs, dtype=np.float32),
        advantage=float(trajectory.advantage),
        latent=trajectory.latent,
        version=trajectory.version,
    )


def dummy() -> TrainSequence:
    """A sequence without a trained token: it costs one column and adds exactly nothing."""
    nothing = np.zeros(0, dtype=np.float32)
    return TrainSequence(id="", ids=np.zeros(1, dtype=np.int32), start=1, behaviour=nothing, advantage=0.0, latent=None, version=-1)


def shards(items: list[TrainSequence], ranks: int) -> list[list[TrainSequence]]:
    """Equally many sequences per rank, dealt longest first in a snake so that the ranks' token counts are close."""
    ordered = sorted(items, key=lambda s: (-len(s.ids), s.id))
    ordered += [dummy() for _ in range(-len(ordered) % ranks)]
    dealt: list[list[TrainSequence]] = [[] for _ in range(ranks)]
    for turn in range(0, len(ordered), ranks):
        hands = dealt if (turn // ranks) % 2 == 0 else dealt[::-1]
        for hand, item in zip(hands, ordered[turn : turn + ranks], strict=True):
            hand.append(item)
    return dealt


def micro_batches(shard: list[TrainSequence], size: int, device: str | torch.device) -> Iterator[MicroBatch]:
    """The shard in order, `size` sequences at a time."""
    for at in range(0, len(shard), size):
        yield collate(shard[at : at + size], device)


def collate(items: list[TrainSequence], device: str | torch.device) -> MicroBatch:
    """Pad on the right and index the trained tokens."""
    length = max(len(s.ids) for s in items)
    ids = np.zeros((len(items), length), dtype=np.int64)
    for row, s in enumerate(items):
        ids[row, : len(s.ids)] = s.ids
    counts = [len(s.ids) - s.start for s in items]
    latents = [s.latent for s in items if s.latent is not None]

    def tensor(values: np.ndarray | list, dtype: type) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=dtype)).to(device)

    return MicroBatch(
        ids=tensor(ids, np.int64),
        source=tensor(np.concatenate([row * length + np.arange(s.start - 1, len(s.ids) - 1) for row, s in enumerate(items)]), np.int64),
        targets=tensor(np.concatenate([s.ids[s.start :] for s in items]), np.int64),
        behaviour=tensor(np.concatenate([s.behaviour for s in items]), np.float32),
        advantages=tensor(np.repeat([s.advantage for s in items], counts), np.float32),
        with_z=tensor(np.repeat([s.latent is not None for s in items], counts), np.bool_),
        rows=tensor([row for row, s in enumerate(items) if s.latent is not None], np.int64),
        forks=tensor([s.start - 1 for s in items if s.latent is not None], np.int64),
        latents=tensor(np.stack(latents) if latents else np.zeros((0, 0)), np.float32),
    )
