"""Where continuations begin: positions of low, middle and high entropy in the same roots; pure but for `find_positions`.

A continuation resumes right before the token at its position, so that its first token is drawn from the distribution whose entropy put the
position into its group. The later a position, the less is left to say after it, whatever its entropy; so the positions of a root are chosen
close to one another: one at random in the group of highest entropy, and in every other group the nearest to it.
"""

import math
from itertools import islice

import numpy as np

from ib_lpo import seeds
from ib_lpo.analysis.config import EntropyGroupsConfig
from ib_lpo.analysis.latent.forks import StudiedFork
from ib_lpo.analysis.roots import StudiedRoot, sample_roots
from ib_lpo.errors import UserError
from ib_lpo.manifest import Manifest
from ib_lpo.progress import say
from ib_lpo.scoring.answer_span import Decode
from ib_lpo.serving import Serving
from ib_lpo.tree import Question

Positions = list[dict[str, list[StudiedFork]]]
"""By root, then by group; `shared_ids` is the response before the position, `entropy` that at the position."""


def find_positions(manifest: Manifest, questions: list[Question], engine: Serving, decode: Decode) -> Positions:
    """Of the first `analysis.entropy_groups.roots` roots that have positions of every group. Raises UserError when there are fewer."""
    config = manifest.analysis.entropy_groups
    tried = 0

    def positions():
        nonlocal tried
        for root in sample_roots(manifest, questions, engine, decode, room=config.tokens):
            tried += 1
            rng = seeds.generator(manifest.seed, "analysis", "entropy-groups", root.question.id)
            if chosen := choose(root.entropies, end=root.end, config=config, rng=rng):
                yield {group: [_resumed(root, group, at) for at in of] for group, of in chosen.items()}

    found = list(islice(positions(), config.roots))
    if len(found) < config.roots:
        raise UserError(
            f"analysis.entropy_groups.roots={config.roots}: of {len(questions)} questions {len(found)} gave a root with enough positions "
            "of every group; give data.train more questions, widen analysis.entropy_groups.groups, lower "
            "analysis.entropy_groups.positions, or lower it"
        )
    say(f"{len(found)} roots, {config.positions} position(s) in each of {len(config.groups)} groups; {tried - len(found)} too short for it")
    return found


def choose(entropies: np.ndarray, *, end: int, config: EntropyGroupsConfig, rng: np.random.Generator) -> dict[str, list[int]]:
    """`config.positions` positions of every group, by group in the order of `config.groups`; empty when the root has too few.

    entropies float32 [T], nats; eligible are the positions 1..end-1. Of E eligible ones, ascending by entropy (ties: the earlier first),
    the group [from, to) has those of rank floor(from E) to floor(to E), exclusive.
    """
    ranked = 1 + np.argsort(entropies[1:end], kind="stable")
    bounds = {group: [math.floor(share * ranked.size) for share in shares] for group, shares in config.groups.items()}
    members = {group: ranked[low:high] for group, (low, high) in bounds.items()}
    if min(of.size for of in members.values()) < config.positions:
        return {}
    *others, highest = members
    anchors = rng.choice(members[highest], config.positions, replace=False)
    return {group: _nearest(members[group], anchors) for group in others} | {highest: anchors.tolist()}


def _nearest(members: np.ndarray, anchors: np.ndarray) -> list[int]:
    """For each anchor in turn the member nearest to it that is not taken; ties go to the earlier one."""
    left = sorted(members.tolist())
    taken: list[int] = []
    for anchor in anchors:
        taken.append(min(left, key=lambda position, anchor=anchor: abs(position - anchor)))
        left.remove(taken[-1])
    return taken


def _resumed(root: StudiedRoot, group: str, position: int) -> StudiedFork:
    return StudiedFork(
        id=f"{root.question.id}/{group}/{position}",
        question=root.question,
        shared_ids=root.token_ids[:position],
        entropy=float(root.entropies[position]),
    )
