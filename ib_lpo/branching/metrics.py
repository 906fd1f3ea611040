"""What a step's trees look like in numbers."""

from collections.abc import Set

import numpy as np

from ib_lpo.scoring.repetition import repeated_tokens
from ib_lpo.tree import RolloutTree, Status, Trajectory


def ending_metrics(trees: list[RolloutTree], markers: Set[int]) -> dict[str, float]:
    """`grow/end_inside`: share of trajectories that have a token of `markers`, which belongs at the end, before their last token."""
    known = np.fromiter(markers, dtype=np.int64)
    inside = [bool(np.isin(t.token_ids[:-1], known).any()) for tree in trees for t in tree.trajectories]
    return {"grow/end_inside": float(np.mean(inside))}


def growth_metrics(trees: list[RolloutTree], block_size: int) -> dict[str, float]:
    """Counts and means over a step's trees, under `grow/`; entropies in nats, lengths in tokens.

    `forks`: places that branches left at. `unforked`, `unforked_branches`: roots and branches that were to fork and had no candidate;
    `missing_forks`: the forks that these and others had no candidate for;
    `missing_pivots`: branches of forks that had no further token to begin with. `depth`, `mean_depth`: levels below the root of the deepest
    branch and of the mean one, 0 without any. `repeated_4grams`: share of the tokens of a whole response that complete a 4-gram which it
    held before, mean over trajectories. `cache_misses`: branches that found less of their prefix in the cache than stood there.
    """
    trajectories = [t for tree in trees for t in tree.trajectories]
    branches = [(tree, t) for tree in trees for t in tree.trajectories if t.parent is not None]
    lengths = [len(tree.question.prompt_ids) + t.prefix_ids.size for tree, t in branches]
    cached = [t.cached_tokens for _, t in branches]
    levels = [len(lineage) - 1 for tree in trees for lineage in tree.lineages().values() if len(lineage) > 1]
    entropies = np.concatenate([t.entropies for t in trajectories])
    return {
        "grow/roots": len(trajectories) - len(branches),
        "grow/branches": len(branches),
        "grow/forks": len({(t.parent, t.fork.position) for _, t in branches}),
        "grow/unforked": sum(tree.unforked for tree in trees),
        "grow/unforked_branches": sum(tree.unforked_branches for tree in trees),
        "grow/missing_forks": sum(tree.missing_forks for tree in trees),
        "grow/missing_pivots": sum(tree.missing_pivots for tree in trees),
        "grow/depth": max(levels, default=0),
        "grow/mean_depth": float(np.mean(levels)) if levels else 0.0,
        "grow/tokens": int(entropies.size),
        "grow/entropy": float(entropies.mean()),
        "grow/fork_entropy": float(np.mean([t.fork.entropy for _, t in branches])) if branches else 0.0,
        "grow/response_tokens": float(np.mean([t.response_ids.size for t in trajectories])),
        "grow/repeated_4grams": float(np.mean([_repeated_share(t) for t in trajectories])),
        "grow/truncated": float(np.mean([t.status is Status.TRUNCATED for t in trajectories])),
        "grow/cached_share": sum(cached) / max(1, sum(lengths)),
        "grow/cache_misses": sum(found < least for found, least in zip(cached, _owed(trees, block_size), strict=True)),
    }


def _repeated_share(trajectory: Trajectory) -> float:
    repeated = repeated_tokens(trajectory.response_ids)
    return float(repeated.mean()) if repeated.size else 0.0


def _owed(trees: list[RolloutTree], block_size: int) -> list[int]:
    """Tokens of its prefix that each branch must find in the cache: the full blocks that were computed z-free before it was asked for. The
    tokens of a parent with z are in the cache under that z; of its own prefix, all but the last token was computed without."""
    owed: list[int] = []
    for tree in trees:
        named = {t.id: t for t in tree.trajectories}
        for branch in (t for t in tree.trajectories if t.parent is not None):
            parent = named[branch.parent]
            shared = branch.prefix_ids if parent.latent is None else parent.prefix_ids
            owed.append((len(tree.question.prompt_ids) + shared.size - 1) // block_size * block_size)
    return owed
