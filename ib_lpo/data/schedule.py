"""Which questions a batch holds: a pure function of the batch's number, so that the number drawn is all a resumed run must know.

Epochs follow one another without a gap; each holds every question exactly once, and no batch holds a question twice, even
where an epoch ends inside it.
"""

from functools import lru_cache
from math import gcd

import numpy as np

from ib_lpo.seeds import generator


def batch_indices(batch: int, *, questions: int, per_batch: int, seed: int, shuffle: bool) -> list[int]:
    """Indices, in [0, questions), of the `per_batch` questions of `batch` (counted from 0).

    Raises ValueError unless 1 <= per_batch <= questions.
    """
    if not 1 <= per_batch <= questions:
        raise ValueError(f"data.questions_per_step={per_batch}: must lie in 1..{questions}, the number of training questions")
    positions = range(batch * per_batch, (batch + 1) * per_batch)
    if not shuffle:
        return [position % questions for position in positions]
    return [_epoch(p // questions, questions, per_batch, seed)[p % questions] for p in positions]


@lru_cache(maxsize=4)
def _epoch(epoch: int, questions: int, per_batch: int, seed: int) -> tuple[int, ...]:
    """The order of `epoch`: a seeded permutation whose head avoids the previous epoch's tail, with which it shares a batch.

    Every per_batch/gcd epochs one begins with a batch; from there the orders follow one from another.
    """
    cycle = per_batch // gcd(per_batch, questions)
    order: tuple[int, ...] = ()
    for current in range(epoch - epoch % cycle, epoch + 1):
        shared = current * questions % per_batch
        tail = set(order[len(order) - shared :]) if shared else set()
        order = _apart(generator(seed, "epoch", current).permutation(questions), tail, per_batch - shared if shared else 0)
    return order


def _apart(order: np.ndarray, tail: set[int], head: int) -> tuple[int, ...]:
    """`order` with the first `head` elements outside `tail` moved to the front; everything else keeps its order."""
    front = [int(i) for i in order if int(i) not in tail][:head]
    chosen = set(front)
    return (*front, *(int(i) for i in order if int(i) not in chosen))
