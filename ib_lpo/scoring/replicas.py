"""The trees of a step, shared out among the scorers and read by all of them at once."""

from collections.abc import Callable, Sequence
from functools import partial

from ib_lpo.dealing import longest_first
from ib_lpo.fleet.base import Worker
from ib_lpo.fleet.loop import EventLoop
from ib_lpo.scoring.answer_span import Decode
from ib_lpo.scoring.config import IbConfig
from ib_lpo.scoring.forward import Cost
from ib_lpo.scoring.reading import Reading, read
from ib_lpo.tree import RolloutTree
from ib_lpo.weights.again import persist


def read_trees(
    scorers: Sequence[Worker],
    trees: list[RolloutTree],
    ib: IbConfig,
    decode: Decode,
    loop: EventLoop,
    refused: Callable[[], None] = lambda: None,
) -> tuple[list[dict[str, Reading]], Cost]:
    """What `IBScorer.score` returns, for all trees in order. Without scorers the estimator must need no pass.

    Raises NeverArrived when the replacement of a scorer cannot read the present version, or what `refused` makes of it (`persist`).
    """
    if not scorers:
        return read(trees, ib, decode, lambda paths: []), Cost(0, 0)
    dealt = shares(trees, len(scorers))
    calls = [partial(scorer.call, "score", [trees[i] for i in share]) for scorer, share in zip(scorers, dealt, strict=True)]
    readings: list[dict[str, Reading]] = [{} for _ in trees]
    costs = []
    for share, (of_share, cost) in zip(dealt, persist(loop, calls, "the scores", refused), strict=True):
        costs.append(cost)
        for i, of_tree in zip(share, of_share, strict=True):
            readings[i] = of_tree
    return readings, Cost(*map(sum, zip(*costs, strict=True)))


def shares(trees: Sequence[RolloutTree], scorers: int) -> list[list[int]]:
    """Indices of the trees that each scorer reads, by their tokens."""
    return longest_first([_tokens(tree) for tree in trees], scorers)


def _tokens(tree: RolloutTree) -> int:
    return len(tree.question.prompt_ids) + sum(len(t.token_ids) for t in tree.trajectories)
