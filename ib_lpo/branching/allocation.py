"""Which forks a batch's budget of branches goes to, by how its roots ended (`branching.allocate: by_outcome`). Pure.

A fork with K branches reserves K times the tokens that its parent generated after the shared prefix. The budget is what
`uniform` would reserve on the same roots. It is dealt in rounds, one fork per root at a time, in the order of
questions: to questions whose roots are not all right. Invariant: reservations never exceed the budget.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ib_lpo.branching.config import BranchingConfig
from ib_lpo.tree import Fork, Trajectory

Draw = Callable[[Trajectory, int, float], list[Fork]]
"""`draw(root, most, share)`: up to `most` forks of a root in the first `share` of its eligible positions, in the order
drawn; the first ones do not depend on `most`."""


class Standing(StrEnum):
    """How the graded roots of a question ended."""

    RIGHT = "right"  # all have the highest reward, 1: no fork tells anything
    WRONG = "wrong"  # all have one reward, and it is less
    MIXED = "mixed"  # rewards differ; or nothing is known, as no root could be graded


def standing(rewards: Sequence[float | None]) -> Standing:
    """Of a question, from the rewards of its roots; None: unverifiable, which counts as absent."""
    known = {reward for reward in rewards if reward is not None}
    if len(known) != 1:
        return Standing.MIXED
    return Standing.RIGHT if known == {1.0} else Standing.WRONG


def takes_forks(reward: float | None, rewards: Sequence[float | None]) -> bool:
    """Whether a root with this reward may fork, among those of its question: an unverifiable one only where all are."""
    if standing(rewards) is Standing.RIGHT:
        return False
    return reward is not None or all(other is None for other in rewards)


def reservation(root: Trajectory, fork: Fork, branches: int) -> int:
    """Tokens that a fork reserves: for each branch what its parent generated after the shared prefix."""
    return branches * (root.response_ids.size - fork.prefix_length)


def deal(offers: Sequence[Sequence[int]], budget: int) -> list[list[int]]:
    """Which forks are made: per root the indices into its offers, ascending.

    `offers`: per root, in the order in which roots take turns, what each of its forks reserves, in the order in which
    they are made. Round n deals the n-th fork of every root; one that does not fit into what is left is skipped, and
    what comes after it may still fit.
    """
    dealt: list[list[int]] = [[] for _ in offers]
    left = budget
    for turn in range(max(map(len, offers), default=0)):
        for root, costs in enumerate(offers):
            if turn < len(costs) and costs[turn] <= left:
                left -= costs[turn]
                dealt[root].append(turn)
    return dealt


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """What became of a batch's budget."""

    budget: int  # tokens
    reserved: int  # tokens, at most the budget
    mixed: int  # forks dealt to mixed questions
    wrong: int  # forks dealt to questions whose roots are all wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealt:
    """What a root that is to fork has got."""

    forks: list[Fork]  # in the order drawn
    found: int  # forks that it had a place for, made or not


def allocate(
    groups: Sequence[Sequence[Trajectory]],
    draw: Draw,
    branching: BranchingConfig,
) -> tuple[dict[str, Dealt], Allocation]:
    """The forks of a batch's graded roots, by id of the root; one that is to have none is absent. `groups`: the roots
    of each question."""
    width = branching.branches
    uniform = [(root, fork) for of in groups for root in of for fork in draw(root, branching.forks, 1.0)]
    budget = sum(reservation(root, fork, width) for root, fork in uniform)
    turns = [turn for of in groups for turn in _turns(of, draw, branching)]
    costs = [[reservation(root, fork, width) for fork in forks] for root, _, forks in turns]
    made = deal(costs, budget)
    counts: Counter[Standing] = Counter()
    dealt: dict[str, Dealt] = {}
    for (root, how, forks), indices in zip(turns, made, strict=True):
        counts[how] += len(indices)
        dealt[root.id] = Dealt(forks=[forks[i] for i in indices], found=len(forks))
    reserved = sum(of[i] for of, indices in zip(costs, made, strict=True) for i in indices)
    mixed, wrong = counts[Standing.MIXED], counts[Standing.WRONG]
    return dealt, Allocation(budget=budget, reserved=reserved, mixed=mixed, wrong=wrong)


def _turns(
    roots: Sequence[Trajectory],
    draw: Draw,
    branching: BranchingConfig,
) -> list[tuple[Trajectory, Standing, list[Fork]]]:
    """Of one question: the roots that may fork, and where, in the order drawn."""
    rewards = [root.reward for root in roots]
    how = standing(rewards)
    share = branching.early_share if how is Standing.WRONG else 1.0
    forking = [root for root in roots if takes_forks(root.reward, rewards)]
    return [(root, how, draw(root, branching.most_forks, share)) for root in forking]


def allocation_metrics(allocations: Sequence[Allocation]) -> dict[str, float]:
    """`grow/...` of a step's batches; nothing without any (`branching.allocate: uniform`).

    `budget_tokens`, `reserved_tokens`; `allocated_forks_mixed`, `allocated_forks_wrong`; `unspent_share` of the budget,
    absent where there is none.
    """
    if not allocations:
        return {}
    budget, reserved = (sum(getattr(one, name) for one in allocations) for name in ("budget", "reserved"))
    counts = {
        "budget_tokens": budget,
        "reserved_tokens": reserved,
        "allocated_forks_mixed": sum(one.mixed for one in allocations),
        "allocated_forks_wrong": sum(one.wrong for one in allocations),
    }
    shares = {"unspent_share": 1 - reserved / budget} if budget else {}
    return {f"grow/{name}": float(value) for name, value in (counts | shares).items()}
