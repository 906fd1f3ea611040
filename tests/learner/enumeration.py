"""All outcomes of a small autoregressive policy, and the gradients of its expected reward, in float64.

The policy is a table of logits per context. Gradients are with respect to these logits: d log pi(v|c) / d logits(c) = onehot(v) - pi(.|c).
"""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

Context = tuple[int, ...]


class TablePolicy:
    """Responses of `length` tokens out of `vocabulary`, with arbitrary rewards in [0, 1]."""

    def __init__(self, seed: int, *, vocabulary: int = 2, length: int = 3):
        rng = np.random.default_rng(seed)
        self.vocabulary, self.length = vocabulary, length
        self.contexts = [c for n in range(length) for c in product(range(vocabulary), repeat=n)]
        self.logits = {context: rng.normal(size=vocabulary) for context in self.contexts}
        self.rewards = {r: float(rng.random()) for r in product(range(vocabulary), repeat=length)}

    def probabilities(self, context: Context) -> np.ndarray:
        weights = np.exp(self.logits[context])
        return weights / weights.sum()

    def continuations(self, prefix: Context) -> Iterator[tuple[Context, float]]:
        """Every suffix of a prefix, with its probability."""
        for suffix in product(range(self.vocabulary), repeat=self.length - len(prefix)):
            probability, context = 1.0, prefix
            for token in suffix:
                probability *= self.probabilities(context)[token]
                context = (*context, token)
            yield suffix, probability

    def score(self, prefix: Context, suffix: Context, advantages: Sequence[float]) -> np.ndarray:
        """sum_t A_t d log pi(suffix_t), float64 [contexts, vocabulary]."""
        found, context = np.zeros((len(self.contexts), self.vocabulary)), prefix
        for token, advantage in zip(suffix, advantages, strict=True):
            row = found[self.contexts.index(context)]
            row -= advantage * self.probabilities(context)
            row[token] += advantage
            context = (*context, token)
        return found

    def gradient(self, prefix: Context = ()) -> np.ndarray:
        """Of V(prefix), the expected reward, with respect to what decides the suffix."""
        return sum(
            p * self.rewards[(*prefix, *suffix)] * self.score(prefix, suffix, [1.0] * len(suffix))
            for suffix, p in self.continuations(prefix)
        )

    def gradient_from(self, position: int) -> np.ndarray:
        """E over prefixes of `position` tokens of the gradient of V(prefix)."""
        prefixes = product(range(self.vocabulary), repeat=position)
        return sum(self._reaches(prefix) * self.gradient(prefix) for prefix in prefixes)

    def _reaches(self, prefix: Context) -> float:
        return float(np.prod([self.probabilities(prefix[:n])[token] for n, token in enumerate(prefix)]))
