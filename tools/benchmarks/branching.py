"""What it is worth that the branches of a whole step decode together.

The released code makes its roots in one batch and then every branch in a generate call of its own. Both variants get the same requests,
seeds and latents, on the same engine with an empty prefix cache that they fill; one of them waits for each branch before it sends the next.
"""

from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.compare import Comparison, alternate, clock, goal
from benchmarks.engines import SHORT_VOCAB, VOCAB, finish, policy, rollout_engine, settings
from benchmarks.growing import BRANCHES, ROOTS, TREE, Grower, questions
from ib_lpo.rollout.engine import RolloutEngine
from ib_lpo.rollout.request import GenerationRequest

QUESTIONS, RESPONSE, ROUNDS, GOAL = 16, 128, 1, 8.0
RUNNING = QUESTIONS * ROOTS * BRANCHES
ONE, ALL = "one branch at a time", "all branches together"


def batched_branching(folder: Path, device: str, rounds: int) -> list[Comparison]:
    """16 questions, 2 roots, 3 branches with z per root, responses of at most 128 tokens, with a short and with a long vocabulary."""
    return [_compared(folder, device, vocabulary, min(rounds, ROUNDS)) for vocabulary in (SHORT_VOCAB, VOCAB)]


def _compared(folder: Path, device: str, vocabulary: int, rounds: int) -> Comparison:
    sizes = {"max_response_tokens": RESPONSE, "max_prompt_tokens": 128, "max_running": RUNNING}
    manifest = settings(policy(folder, vocabulary=vocabulary), rollout=sizes, branching=TREE)
    asked = questions(np.random.default_rng(0), QUESTIONS)
    tokens: dict[str, list[int]] = {ONE: [], ALL: []}
    with rollout_engine(manifest, device) as engine:
        grower = Grower(manifest, engine)
        _, requests = grower.grow(0, asked)  # also warms up

        def together() -> float:
            engine.forget()
            started = clock(device)
            trees, _ = grower.grow(0, asked)
            seconds = clock(device) - started
            tokens[ALL].append(sum(t.token_ids.size for tree in trees for t in tree.trajectories))
            return seconds

        one_by_one = partial(_one_by_one, engine, requests, device, tokens[ONE])
        variants = {ALL: together, ONE: one_by_one}
        found = alternate(f"branching, {QUESTIONS} questions, vocabulary {vocabulary:,}", "s", variants, rounds, warm=True)
    note = f"M={ROOTS}, K={BRANCHES}: {tokens[ALL][-1]:,} and {tokens[ONE][-1]:,} tokens; {goal(GOAL, found.ratio(ONE))}"
    return found.noted(note)


def _one_by_one(engine: RolloutEngine, requests: list[GenerationRequest], device: str, tokens: list[int]) -> float:
    engine.forget()
    roots = [request for request in requests if request.latent is None]
    branches = [request for request in requests if request.latent is not None]
    started = clock(device)
    generations = finish(engine, roots)
    for branch in branches:
        generations += finish(engine, [branch])
    seconds = clock(device) - started
    tokens.append(sum(len(generation.token_ids) for generation in generations))
    return seconds
