"""Batches for the learner's benchmarks: lengths, trees, padding, and what sharing prefixes would save at best.

Everything is drawn from a seed; no function here computes with a model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ib_lpo.policy.forest import Path

PROMPT_TOKENS = (48, 96)  # uniform
RESPONSE_MEAN, RESPONSE_SIGMA, RESPONSE_TOKENS = 200, 0.6, (16, 512)  # lognormal, then clipped
ROOTS, BRANCHES = 2, 3  # M, K
FIRST_ID = 2  # 0 pads, 1 ends


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSize:
    """A question's tree: M roots of `response` tokens, each forked K times after `fork` of them (fork < response - 1); branches
    end at the same length. The last token of a trajectory is only predicted, never computed."""

    prompt: int
    response: int
    fork: int

    @property
    def flat_tokens(self) -> int:
        """Tokens computed when every trajectory is packed on its own."""
        return ROOTS * (1 + BRANCHES) * (self.prompt + self.response - 1)

    @property
    def tree_tokens(self) -> int:
        """Tokens computed when equal prefixes are computed once."""
        return self.prompt + ROOTS * (self.response - 1 + BRANCHES * (self.response - self.fork - 1))

    @property
    def trained_tokens(self) -> int:
        """Tokens with a loss: every generated token once."""
        return ROOTS * (self.response + BRANCHES * (self.response - self.fork))

    @property
    def shared(self) -> float:
        """Share of the flat tokens that need not be computed again."""
        return 1 - self.tree_tokens / self.flat_tokens

    @property
    def ideal(self) -> float:
        """Flat time over tree time if every token cost the same."""
        return self.flat_tokens / self.tree_tokens


def response_lengths(rng: np.random.Generator, count: int) -> np.ndarray:
    """int64 [count], lognormal with mean RESPONSE_MEAN before clipping."""
    mu = np.log(RESPONSE_MEAN) - RESPONSE_SIGMA**2 / 2
    return np.clip(rng.lognormal(mu, RESPONSE_SIGMA, count), *RESPONSE_TOKENS).astype(np.int64)


def rollouts(rng: np.random.Generator, *, questions: int, each: int, vocabulary: int) -> tuple[list[Path], np.ndarray]:
    """Responses of `each` rollouts per question, without forks, and one advantage (float32) per rollout."""
    found = []
    for _ in range(questions):
        prompt = random_ids(rng, int(rng.integers(PROMPT_TOKENS[0], PROMPT_TOKENS[1] + 1)), vocabulary)
        for length in response_lengths(rng, each):
            found.append(Path(ids=np.concatenate([prompt, random_ids(rng, int(length), vocabulary)]), start=len(prompt)))
    return found, rng.standard_normal(len(found)).astype(np.float32)


def tree(rng: np.random.Generator, size: TreeSize, vocabulary: int) -> list[Path]:
    """Roots and branches of one question; a branch is trained from the fork on, so every generated token is trained once."""
    prompt = random_ids(rng, size.prompt, vocabulary)
    found = []
    for _ in range(ROOTS):
        root = np.concatenate([prompt, random_ids(rng, size.response, vocabulary)])
        found.append(Path(ids=root, start=size.prompt))
        kept = root[: size.prompt + size.fork]
        for _ in range(BRANCHES):
            found.append(Path(ids=np.concatenate([kept, random_ids(rng, size.response - size.fork, vocabulary)]), start=len(kept)))
    return found


def random_ids(rng: np.random.Generator, count: int, vocabulary: int) -> np.ndarray:
    return rng.integers(FIRST_ID, vocabulary, count, dtype=np.int32)


def padded(paths: Sequence[Path], advantages: np.ndarray) -> dict[str, Tensor]:
    """The batch as GRPOTrainer makes it: prompts padded on the left, completions on the right, both to the longest of the batch.

    `num_items_in_batch` counts the completion tokens, over which its `dapo` loss averages.
    """
    prompts, completions = [p.ids[: p.start] for p in paths], [p.ids[p.start :] for p in paths]
    width, height = max(map(len, prompts)), max(map(len, completions))
    batch = {
        "prompt_ids": np.stack([np.pad(ids, (width - len(ids), 0)) for ids in prompts]),
        "prompt_mask": np.stack([np.arange(width) >= width - len(ids) for ids in prompts]),
        "completion_ids": np.stack([np.pad(ids, (0, height - len(ids))) for ids in completions]),
        "completion_mask": np.stack([np.arange(height) < len(ids) for ids in completions]),
    }
    tensors = {name: torch.from_numpy(values.astype(np.int64)) for name, values in batch.items()}
    return tensors | {"advantages": torch.from_numpy(advantages), "num_items_in_batch": tensors["completion_mask"].sum()}


def padding_share(paths: Sequence[Path]) -> float:
    """Share of `padded`'s places that hold no token."""
    places = len(paths) * (max(p.start for p in paths) + max(len(p.ids) - p.start for p in paths))
    return 1 - real_tokens(paths) / places


def real_tokens(paths: Sequence[Path]) -> int:
    return sum(len(path.ids) for path in paths)
