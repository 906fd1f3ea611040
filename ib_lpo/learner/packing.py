"""Which trajectories are updated on together, which are computed together, and on which rank.

A step's questions are dealt into mini-batches, one optimiser step each, and the trees of a mini-batch (packed flat: its trajectories)
into micro-batches of at most a token budget. Every rank gets the same number of micro-batches, empty ones if need be, and those of one
round are about equally long on all ranks: under ZeRO-3 ranks work through them in step, so a round takes as long as its longest, and
ranks that disagree about their number wait for each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil

from ib_lpo.dealing import longest_first
from ib_lpo.learner.batch import Planting, TrainSequence
from ib_lpo.policy.forest import planted_tokens

Shard = list[list[TrainSequence]]  # the micro-batches of one rank


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """A mini-batch on all ranks."""

    tokens: int  # trained
    sequences: int
    signal: bool  # some advantage is not 0

    @classmethod
    def of(cls, items: list[TrainSequence]) -> "Totals":
        trained = sum(len(s.ids) - s.start for s in items)
        return cls(tokens=trained, sequences=len(items), signal=any(s.advantages.any() for s in items))


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """A mini-batch: the shards of all ranks, and what packing them cost and saved; tokens are those of one pass as trained."""

    shards: list[Shard]
    totals: Totals
    tokens: int  # forwarded, all ranks
    flat_tokens: int  # sum of the trajectories' lengths
    padding: int  # forwarded without need
    awaited: int  # ranks times the longest micro-batch of every round


def packing_metrics(packings: Sequence[Packing]) -> dict[str, float]:
    """`learner/...`: tree_token_ratio = tokens forwarded / sum of trajectory lengths; padding = share of forwarded tokens that nobody
    needs; waiting = share of the ranks' time, in tokens, that they wait for the longest micro-batch of a round."""
    tokens = sum(p.tokens for p in packings)
    return {
        "learner/tree_token_ratio": tokens / max(1, sum(p.flat_tokens for p in packings)),
        "learner/padding": sum(p.padding for p in packings) / max(1, tokens),
        "learner/waiting": 1 - tokens / max(1, sum(p.awaited for p in packings)),
        "learner/micro_batches": float(sum(len(p.shards[0]) for p in packings)),
    }


def mini_batches(items: list[TrainSequence], count: int) -> list[list[TrainSequence]]:
    """The sequences in at most `count` parts: question i of the step goes to part i modulo `count`. One part, even of nothing, there is."""
    number = {group: n for n, group in enumerate(dict.fromkeys(s.group for s in items))}
    return [[s for s in items if number[s.group] % count == part] for part in range(min(count, max(1, len(number))))]


def pack(items: list[TrainSequence], *, ranks: int, budget: int, planting: Planting) -> Packing:
    """Deal sequences to ranks and micro-batches. The result depends on the set of sequences alone, not on their order.

    budget: most tokens of a micro-batch, the larger of its two forests; a single sequence beyond it gets a micro-batch of its own.
    """
    units = _units(sorted(items, key=lambda s: (s.group, s.id)), budget, planting)
    costs = [_cost(unit, planting) for unit in units]
    rounds = deal(costs, ranks=ranks, budget=budget)
    shards = [[[s for unit in one_round[rank] for s in units[unit]] for one_round in rounds] for rank in range(ranks)]
    lengths = [[_trained_tokens(shard[r], planting) for shard in shards] for r in range(len(rounds))]
    empty = sum(not micro_batch for shard in shards for micro_batch in shard)
    return Packing(
        shards=shards,
        totals=Totals.of(items),
        tokens=sum(map(sum, lengths)),
        flat_tokens=sum(len(s.ids) for s in items),
        padding=empty,
        awaited=sum(ranks * max(of_round) for of_round in lengths),
    )


def deal(costs: Sequence[int], *, ranks: int, budget: int) -> list[list[list[int]]]:
    """Indices of `costs`, dealt into rounds of `ranks` hands: no hand above `budget` that could be split, rounds as few as
    longest-first dealing finds, hands of one round as equal as it makes them."""
    rounds = max(1, ceil(sum(costs) / (ranks * budget)))
    while True:
        hands = longest_first(costs, rounds * ranks)
        loads = [sum(costs[i] for i in hand) for hand in hands]
        if all(load <= budget or len(hand) == 1 for load, hand in zip(loads, hands, strict=True)):
            break
        rounds += 1
    order = sorted(range(len(hands)), key=lambda h: -loads[h])
    return [[hands[h] for h in order[r * ranks : (r + 1) * ranks]] for r in range(rounds)]


def _units(items: list[TrainSequence], budget: int, planting: Planting) -> list[list[TrainSequence]]:
    """What is never divided: the sequences of a question, in parts where their tree is larger than the budget."""
    if not planting.share:
        return [[s] for s in items]
    units: list[list[TrainSequence]] = []
    for _, group in groupby(items, key=lambda s: s.group):
        unit: list[TrainSequence] = []
        for sequence in group:
            if unit and _cost([*unit, sequence], planting) > budget:
                units.append(unit)
                unit = []
            unit.append(sequence)
        units.append(unit)
    return units


def _cost(unit: list[TrainSequence], planting: Planting) -> int:
    opposite = planted_tokens(planting.opposite(unit), share=planting.share) if planting.latents else 0
    return max(_trained_tokens(unit, planting), opposite)


def _trained_tokens(unit: list[TrainSequence], planting: Planting) -> int:
    return max(1, planted_tokens(planting.trained(unit), share=planting.share))
