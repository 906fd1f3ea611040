"""What n samples of one question say: avg@n, pass@k, maj@k. Pure.

pass@k and maj@k are exact means over all C(n, k) subsets of the n samples, hence unbiased for k fresh samples; no subset is drawn.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np


def pass_at_k(samples: int, solved: int, k: int) -> float:
    """Probability that k of `samples`, drawn without replacement, hold one of the `solved`: 1 - C(n-c, k) / C(n, k), without a huge number.

    Raises ValueError unless 1 <= k <= samples and 0 <= solved <= samples.
    """
    _require(samples, k)
    if not 0 <= solved <= samples:
        raise ValueError(f"{solved} of {samples} samples solved")
    if samples - solved < k:
        return 1.0
    return -math.expm1(math.fsum(math.log1p(-k / i) for i in range(samples - solved + 1, samples + 1)))


def maj_at_k(answers: Sequence[str | None], solved: Sequence[bool], k: int) -> float:
    """Probability that the most frequent answer of k of the samples, drawn without replacement, is right.

    answers [n]: equal ones are spelled alike; None has no vote. A tie is settled by drawing one of the tied answers, each with the same
    probability; k samples without any answer are wrong. solved [n]: an answer is right by the share of its samples that are. Raises
    ValueError unless 1 <= k <= n.
    """
    _require(len(answers), k)
    votes = Counter(answer for answer in answers if answer is not None)
    right = Counter(answer for answer, good in zip(answers, solved, strict=True) if good and answer is not None)
    return math.fsum(count / votes[answer] * _wins(answer, votes, len(answers), k) for answer, count in right.items())


def _wins(answer: str, votes: Counter[str], samples: int, k: int) -> float:
    """Probability that `answer` is drawn as the majority of k of the samples."""
    size, others = votes[answer], [count for other, count in votes.items() if other != answer]
    fewest = max(1, size - (samples - k))
    ways = math.fsum(math.comb(size, count) * _below(count, k - count, others, samples - size) for count in range(fewest, min(size, k) + 1))
    return ways / math.comb(samples, k)


def _below(count: int, rest: int, others: Sequence[int], left: int) -> float:
    """Subsets of `rest` of the `left` samples that do not give the answer, in which no other answer has more than `count` votes; one in
    which t others have just as many counts 1 / (1 + t).

    `ways` [ties, votes] are coefficients of a product of polynomials, one per answer. Answers with fewer than `count` samples can neither
    win nor tie: together with the samples without an answer they are one binomial.
    """
    rivals = [size for size in others if size >= count]
    harmless = left - sum(rivals)
    ways = np.zeros((rest // count + 1, rest + 1))
    ways[0] = [float(math.comb(harmless, taken)) for taken in range(rest + 1)]
    for size in rivals:
        grown = np.zeros_like(ways)
        for taken in range(min(count - 1, rest) + 1):
            grown[:, taken:] += float(math.comb(size, taken)) * ways[:, : rest + 1 - taken]
        if count <= rest:
            grown[1:, count:] += float(math.comb(size, count)) * ways[:-1, : rest + 1 - count]
        ways = grown
    return float((ways[:, rest] / np.arange(1, len(ways) + 1)).sum())


def _require(samples: int, k: int) -> None:
    if not 1 <= k <= samples:
        raise ValueError(f"k={k} of {samples} samples")
