"""How much an engine computes beyond what a tree of tokens needs.

The ideal computes every token of a question's trie once: its prompt, and each response's own tokens but the last, which nothing follows.
A branch costs more than its share of that: the part of a KV block before its fork, its slots, and the last prefix token again, with z.
"""

from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.compare import Comparison
from benchmarks.engines import SHORT_VOCAB, forwarded, policy, rollout_engine, settings
from benchmarks.growing import BRANCHES, ROOTS, TREE, Grower, questions
from ib_lpo.tree import RolloutTree

LENGTHS, SPLIT, QUESTIONS, ROUNDS, GOAL = (256, 512, 1024), 512, 4, 3, 1.05

CAUSES = {
    "partial_blocks": "begun KV blocks before the forks",
    "slots": "slots",
    "forks": "last prefix tokens, with z",
    "roots": "prompts, for second roots",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwards:
    """Tokens forwarded for some trees, and why."""

    ideal: int
    partial_blocks: int  # prefix tokens between the last whole block in the cache and the last prefix token
    slots: int
    forks: int  # last prefix tokens, computed again with z
    roots: int  # prompt tokens computed more than once
    total: int  # what the engine computed

    def __post_init__(self) -> None:
        found = self.ideal + self.partial_blocks + self.slots + self.forks + self.roots
        if found != self.total:
            raise ValueError(f"the engine computed {self.total} tokens, the trees and their cache hits account for {found}")


def account(trees: list[RolloutTree], *, k_slots: int, total: int) -> Forwards:
    """Split `total` by cause. Raises ValueError when the causes do not add up to it."""
    prompts = {id(t): len(tree.question.prompt_ids) for tree in trees for t in tree.trajectories}
    trajectories = [t for tree in trees for t in tree.trajectories]
    roots, branches = ([t for t in trajectories if (t.parent is None) is kind] for kind in (True, False))
    prompt_tokens = sum(len(tree.question.prompt_ids) for tree in trees)
    return Forwards(
        ideal=prompt_tokens + sum(t.token_ids.size - 1 for t in trajectories),
        partial_blocks=sum(prompts[id(t)] + t.prefix_ids.size - 1 - t.cached_tokens for t in branches),
        slots=k_slots * len(branches),
        forks=len(branches),
        roots=sum(prompts[id(t)] - t.cached_tokens for t in roots) - prompt_tokens,
        total=total,
    )


def trie_forwards(folder: Path, device: str, rounds: int) -> list[Comparison]:
    """4 questions, 2 roots, 3 branches with z per root, responses of 256, 512 and 1,024 tokens; a round is another draw of everything."""
    directory = policy(folder, vocabulary=SHORT_VOCAB, layers=4, ends=False)
    found = {length: _measured(directory, device, length, min(rounds, ROUNDS)) for length in LENGTHS}
    samples = {"ideal": [100.0]}
    for length, all_of in found.items():
        samples[f"responses of {length:,}"] = [100 * f.total / f.ideal for f in all_of]
    for cause, words in CAUSES.items():
        samples[f"of these at {SPLIT:,}: {words}"] = [100 * getattr(f, cause) / f.ideal for f in found[SPLIT]]
    ratios = {length: median(f.total / f.ideal for f in all_of) for length, all_of in found.items()}
    verdicts = ", ".join(f"{'met' if ratio <= GOAL else 'missed'} with {ratio:.3f} at {length:,}" for length, ratio in ratios.items())
    note = f"{QUESTIONS} questions a round, M={ROOTS}, K={BRANCHES}. Goal at most {GOAL:g}: {verdicts}."
    return [Comparison(title="Tokens forwarded per 100 of the trie", unit="tokens", samples=samples, note=note)]


def _measured(directory: Path, device: str, length: int, rounds: int) -> list[Forwards]:
    manifest = settings(directory, rollout={"max_response_tokens": length, "max_prompt_tokens": 128}, branching=TREE)
    with rollout_engine(manifest, device) as engine, forwarded(engine) as counts:
        grower, found = Grower(manifest, engine), []
        for step in range(rounds):
            counts.clear()
            trees, _ = grower.grow(step, questions(np.random.default_rng(step), QUESTIONS))
            found.append(account(trees, k_slots=manifest.latent.psa.k_slots, total=sum(counts)))
    return found
