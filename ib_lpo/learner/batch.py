"""From kept trajectories to packed micro-batches.

Every generated token of a kept trajectory is trained exactly once: a sequence carries loss on its own tokens only, and a branch's
shared prefix is context. A micro-batch is planted twice when latents are on: as it is trained, and its sequences with z the other way
round, so that what z changes can be measured.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ib_lpo.manifest import Manifest
from ib_lpo.policy.forest import Forest, Path, plant
from ib_lpo.seeds import generator
from ib_lpo.tree import RolloutTree, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSequence:
    """One trajectory as the learner sees it. T = trained tokens, ids[start:]."""

    id: str
    group: str  # id of its question, whose trajectories share prefixes
    ids: np.ndarray  # int32 [L] = prompt + prefix_ids + token_ids
    start: int  # index of the first trained token, >= 1; start - 1 is the fork of a branch
    behaviour: np.ndarray  # float32 [T], the engine's log-probs, nats, at the sampling temperature
    advantages: np.ndarray  # float32 [T]
    latent: np.ndarray | None  # float32 [dim]
    z_free: int  # trained tokens, the first ones, on which z does not act
    versions: np.ndarray  # int32 [T], policy version of every trained token


@dataclass(frozen=True, slots=True, kw_only=True)
class Planting:
    """How sequences become forests."""

    share: bool  # compute common prefixes once
    latents: bool  # trajectories may carry a z
    conditioned: bool = False  # train log-probs under z instead of z-free ones
    reference: bool = False  # a frozen reference model, which is always z-free, scores the sequences too

    @classmethod
    def of(cls, manifest: Manifest) -> "Planting":
        latent = manifest.latent
        return cls(
            share=manifest.learner.packing == "tree",
            latents=latent.kind != "none",
            conditioned=latent.kind != "none" and latent.offpolicy == "condition",
            reference=manifest.learner.kl.coefficient > 0,
        )

    def trained(self, items: list[TrainSequence]) -> list[Path]:
        """What is trained."""
        return [_path(s, with_z=self.conditioned) for s in items]

    def opposite(self, items: list[TrainSequence]) -> list[Path]:
        """The sequences with z, under z where they are trained without, and the other way round."""
        return [_path(s, with_z=not self.conditioned) for s in items if s.latent is not None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MicroBatch:
    """S sequences with N trained tokens, in order."""

    trained: Forest
    opposite: Forest | None  # of the sequences with z; None: latents are off
    plain: Forest | None  # all sequences z-free, for the reference model; None: there is none
    behaviour: Tensor  # float32 [N]
    advantages: Tensor  # float32 [N]
    sequence: Tensor  # int64 [N], 0..S-1
    with_z: Tensor  # bool [N], token of a sequence with z
    versions: Tensor  # int64 [N], policy version that generated the token
    draw: Tensor  # float64 [N], uniform, a function of seed, step, trajectory and position alone

    def to(self, device: str) -> "MicroBatch":
        moved = {name: getattr(self, name) for name in self.__slots__}
        return replace(self, **{name: value.to(device) for name, value in moved.items() if isinstance(value, Tensor | Forest)})


def sequences(trees: list[RolloutTree]) -> list[TrainSequence]:
    """Kept, graded trajectories that have tokens of their own. Raises ValueError for one without advantage (assign_advantages has not
    run)."""
    found = []
    for tree in trees:
        for trajectory in tree.kept:
            if trajectory.reward is None or not len(trajectory.token_ids):
                continue
            found.append(_sequence(tree, trajectory))
    return found


def _sequence(tree: RolloutTree, trajectory: Trajectory) -> TrainSequence:
    prompt = np.asarray(tree.question.prompt_ids, dtype=np.int32)
    ids = np.concatenate([prompt, trajectory.prefix_ids, trajectory.token_ids]).astype(np.int32)
    return TrainSequence(
        id=trajectory.id,
        group=tree.question.id,
        ids=ids,
        start=len(ids) - len(trajectory.token_ids),
        behaviour=np.asarray(trajectory.logprobs, dtype=np.float32),
        advantages=trajectory.token_advantages,
        latent=trajectory.latent,
        z_free=trajectory.z_free,
        versions=trajectory.token_versions,
    )


def _path(sequence: TrainSequence, *, with_z: bool) -> Path:
    return Path(ids=sequence.ids, start=sequence.start, latent=sequence.latent if with_z else None, z_free=sequence.z_free)


def collate(items: list[TrainSequence], planting: Planting, seed: tuple[object, ...]) -> MicroBatch:
    """One micro-batch; no items at all give one token without a target. `seed`: of the draws, without the trajectory."""
    counts = [len(s.ids) - s.start for s in items]

    def tensor(values: np.ndarray | list, dtype: type) -> Tensor:
        return torch.from_numpy(np.asarray(values, dtype=dtype))

    trained = plant(planting.trained(items), share=planting.share)
    opposite = plain = None
    if planting.latents:
        opposite = plant(planting.opposite(items), share=planting.share)
    if planting.reference:
        plain = plant([_path(s, with_z=False) for s in items], share=planting.share) if planting.conditioned else trained
    return MicroBatch(
        trained=trained,
        opposite=opposite,
        plain=plain,
        behaviour=tensor(np.concatenate([np.zeros(0), *(s.behaviour for s in items)]), np.float32),
        advantages=tensor(np.concatenate([np.zeros(0), *(s.advantages for s in items)]), np.float32),
        sequence=tensor(np.repeat(np.arange(len(items)), counts), np.int64),
        versions=tensor(np.concatenate([np.zeros(0), *(s.versions for s in items)]), np.int64),
        with_z=tensor(np.repeat([s.latent is not None for s in items], counts), np.bool_),
        draw=tensor(
            np.concatenate([np.zeros(0), *(generator(*seed, s.id).random(n) for s, n in zip(items, counts, strict=True))]), np.float64
        ),
    )
