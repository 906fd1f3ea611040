"""What the page knows of a tree: a row of the list, and the details that are unpacked when the tree is opened.

Plain JSON values. Tokens of a shared prefix are held once, by the trajectory that owns them.
"""

import math
from typing import Any

import numpy as np

from ib_lpo.branching.outcomes import fork_outcomes
from ib_lpo.manifest import Manifest
from ib_lpo.report.token_text import TokenTexts
from ib_lpo.scoring.siblings import sibling_sets
from ib_lpo.tree import Fork, RolloutTree, Trajectory, Verdict


def short_id(tree: RolloutTree, trajectory_id: str) -> str:
    """`r0/b2` of `<question>/r0/b2`."""
    return trajectory_id.removeprefix(tree.question.id + "/")


def row(tree: RolloutTree, step: int, index: int) -> dict[str, Any]:
    """The tree's row in the list, with what its filters need of each trajectory."""
    verifiable = [t for t in tree.trajectories if t.verdict not in (None, Verdict.UNVERIFIABLE)]
    right = sum(t.verdict is Verdict.CORRECT for t in verifiable)
    decided = [fork.decided for fork in fork_outcomes(tree)]
    scores = [t.ib.score for t in tree.trajectories if t.ib is not None and math.isfinite(t.ib.score)]
    return {
        "step": step,
        "tree": index,
        "question": tree.question.id,
        "text": tree.question.text,
        "gold": tree.question.answer,
        "right": right,
        "verifiable": len(verifiable),
        "reward": _reward_kind(right, len(verifiable)),
        "forks": len(decided),
        "decided_forks": decided.count(True),
        "open_forks": decided.count(False),
        "kept": len(tree.kept),
        "best": max(scores, default=None),
        "trajectories": [
            {
                "id": short_id(tree, t.id),
                "verdict": t.verdict,
                "status": t.status,
                "kept": t.kept,
                "failures": [failure.mode for failure in t.failures],
            }
            for t in tree.trajectories
        ],
    }


def details(tree: RolloutTree, manifest: Manifest, texts: TokenTexts) -> dict[str, Any]:
    """All there is to see of a tree: token texts, entropies and log-probs in thousandths of a nat, and every stage's findings."""
    decided = {branch.id: fork.decided for fork in fork_outcomes(tree) for branch in fork.branches}
    compared = {t.id: len(siblings) for siblings in sibling_sets(tree, manifest.filter.scope) for t in siblings}
    return {
        "unforked": tree.unforked,
        "unforked_branches": tree.unforked_branches,
        "missing_forks": tree.missing_forks,
        "missing_pivots": tree.missing_pivots,
        "trajectories": [_trajectory(tree, t, compared[t.id], decided.get(t.id), texts) for t in tree.trajectories],
    }


def _trajectory(
    tree: RolloutTree,
    t: Trajectory,
    compared: int,
    decided: bool | None,
    texts: TokenTexts,
) -> dict[str, Any]:
    return {
        "id": short_id(tree, t.id),
        "parent": None if t.parent is None else short_id(tree, t.parent),
        "fork": _fork(t.fork, decided),
        "tokens": texts.pieces(t.response_ids)[len(t.prefix_ids) :],
        "special": [index for index, id in enumerate(t.token_ids.tolist()) if id in texts.special_ids],
        "entropies": _thousandths(t.entropies),
        "logprobs": _thousandths(t.logprobs),
        "latent_norm": None if t.latent is None else float(np.linalg.norm(t.latent)),
        "seed": str(t.seed),  # beyond what JavaScript's numbers hold
        "engine": t.engine,
        "version": t.version,
        "status": t.status,
        "cached": t.cached_tokens,
        "verdict": t.verdict,
        "reward": t.reward,
        "advantage": t.advantage,
        "segments": [{"start": s.start, "end": s.end, "advantage": s.advantage} for s in t.segments],
        "kept": t.kept,
        "weight": t.weight,
        "label": t.label,
        "rank": t.rank,
        "compared": compared,
        "ib": _ib(t),
        "failures": [{"mode": f.mode, "start": f.start, "end": f.end, "measure": f.measure} for f in t.failures],
    }


def _fork(fork: Fork | None, decided: bool | None) -> dict[str, Any] | None:
    if fork is None:
        return None
    drawn = {"position": fork.position, "entropy": fork.entropy, "candidates": fork.candidates}
    return drawn | {"prefix": fork.prefix_length, "decided": decided}


def _ib(t: Trajectory) -> dict[str, Any] | None:
    if t.ib is None:
        return None
    names = ("estimator", "relevance", "compression", "relevance_z", "compression_z", "score")
    return {name: getattr(t.ib, name) for name in names} | {"at": list(t.ib.profile_at), "profile": list(t.ib.profile)}


def _thousandths(nats: np.ndarray) -> list[int | None]:
    scaled = np.asarray(nats, np.float64) * 1000
    return [round(value) if np.isfinite(value) else None for value in scaled.tolist()]


def _reward_kind(right: int, verifiable: int) -> str:
    if verifiable == 0:
        return "unverifiable"
    return "right" if right == verifiable else "wrong" if right == 0 else "mixed"
