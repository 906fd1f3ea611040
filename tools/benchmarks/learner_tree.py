"""Tree packing against flat packing.

Both run the same trees, train the same tokens and give the same loss and gradient; what differs is how often a prefix is computed.
"""

from functools import partial
from pathlib import Path as Folder

import numpy as np

from benchmarks.compare import Comparison, alternate, goal
from benchmarks.learner_batch import BRANCHES, ROOTS, TreeSize, tree
from benchmarks.learner_curve import Point, draw
from benchmarks.learner_policy import VOCABULARIES, Disagreement, backward, gradient_norm, module, multiplications, speed
from ib_lpo.learner.model import PolicyModule

HALF = TreeSize(prompt=64, response=256, fork=128)
CURVE = {64: (0.1, 0.3, 0.5, 0.7, 0.9), 256: (0.1, 0.5, 0.9)}  # prompt tokens -> forks as shares of the response
TOLERANCE = {"cpu": 1e-4, "cuda": 0.05}  # relative difference of losses and of gradient norms
GOAL = 1.4


def tree_against_flat(figures: Folder, device: str, rounds: int) -> list[Comparison]:
    """A table per vocabulary for forks at half, and the curve over the share of shared tokens, drawn into `figures`."""
    tables = [_at_half(vocabulary, device, rounds) for vocabulary in VOCABULARIES]
    ours = module(VOCABULARIES[-1], device)
    sizes = [
        TreeSize(prompt=prompt, response=HALF.response, fork=int(fork * HALF.response)) for prompt, forks in CURVE.items() for fork in forks
    ]
    points = [Point.of(size, _compare("", ours, size, VOCABULARIES[-1], device, rounds)) for size in sizes]
    draw(points, f"vocabulary {VOCABULARIES[-1]:,}", figures)
    lowest, highest = (pick(points, key=lambda point: point.shared) for pick in (min, max))
    grows = (
        f"Over the curve the gain goes from {lowest.speedup:.2f} with {lowest.shared:.0%} of the tokens shared "
        f"(ideal {lowest.ideal:.2f}) to {highest.speedup:.2f} with {highest.shared:.0%} (ideal {highest.ideal:.2f})."
    )
    return [*tables[:-1], tables[-1].noted(f"{tables[-1].note} {grows}")]


def _at_half(vocabulary: int, device: str, rounds: int) -> Comparison:
    ours = module(vocabulary, device)
    found = _compare(f"Tree packing, vocabulary {vocabulary:,}", ours, HALF, vocabulary, device, rounds)
    possible = multiplications(ours, HALF.flat_tokens, HALF.trained_tokens) / multiplications(ours, HALF.tree_tokens, HALF.trained_tokens)
    return found.noted(
        f"A tree of M={ROOTS}, K={BRANCHES}, prompt {HALF.prompt}, responses of {HALF.response}, forks at half: "
        f"{HALF.flat_tokens:,} tokens flat, {HALF.tree_tokens:,} as a tree, ideal {HALF.ideal:.2f}; {possible:.2f} when the output layer "
        f"counts, which both run on the same {HALF.trained_tokens:,} trained tokens. {found.note} Gain: {goal(GOAL, found.ratio('tree'))}"
    )


def _compare(title: str, ours: PolicyModule, size: TreeSize, vocabulary: int, device: str, rounds: int) -> Comparison:
    """Trained tokens per second of both, after a check that losses and gradients are equal; the note tells by how much they differ."""
    rng = np.random.default_rng(0)
    paths = tree(rng, size, vocabulary)
    advantages = rng.standard_normal(len(paths)).astype(np.float32)
    trained = size.trained_tokens
    step = {name: partial(backward, ours, paths, advantages, trained, share=name == "tree", device=device) for name in ("flat", "tree")}
    note = _agree(ours, step, device)

    runs = {name: partial(speed, ours, run, trained, device) for name, run in step.items()}
    return alternate(title, "trained tokens/s", runs, rounds).noted(note)


def _agree(ours: PolicyModule, step: dict[str, partial], device: str) -> str:
    """Raises Disagreement."""
    losses, norms = [], []
    for run in step.values():
        losses.append(run())
        norms.append(gradient_norm(ours))
    if any(abs(a - b) > TOLERANCE[device] * abs(a) for a, b in (losses, norms)):
        raise Disagreement(f"flat and tree packing differ: losses {losses}, gradient norms {norms}")
    return f"Loss {losses[0]:.6f} and {losses[1]:.6f}, gradient norm {norms[0]:.5f} and {norms[1]:.5f}."
