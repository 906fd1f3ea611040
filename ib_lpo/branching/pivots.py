"""Branches that begin with different tokens (`branching.pivot: distinct`): the tokens are drawn without replacement.

Branches that sample the hesitant token independently often take the parent's again, and then differ from it in nothing
that was uncertain. Here every continuation of a fork has a token of its own there. Each is drawn by a request of its own,
for one token, from which the tokens taken before are excluded: the parent's and those of the earlier branches. Its
log-prob stays that of the whole distribution, so a learner sees how likely the policy makes it. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ib_lpo.rollout.request import Generation
from ib_lpo.tree import VersionSpan


@dataclass(slots=True, kw_only=True)
class PivotDraw:
    """The draws of one fork, one after another."""

    wanted: int  # branches
    taken: list[int]  # token ids, the parent's first
    mass: float  # probability of all that is not taken

    @classmethod
    def after(cls, token: int, logprob: float, wanted: int) -> "PivotDraw":
        """Of a parent that took `token` with `logprob`, nats."""
        return cls(wanted=wanted, taken=[token], mass=1.0 - float(np.exp(logprob)))

    @property
    def drawn(self) -> int:
        """Tokens drawn so far."""
        return len(self.taken) - 1

    def more(self, least_mass: float) -> bool:
        """Whether one more is to be drawn."""
        return self.drawn < self.wanted and self.mass >= least_mass

    def take(self, pivot: Generation) -> None:
        """What was drawn. Raises ValueError for a token that is taken."""
        token = int(pivot.token_ids[0])
        if token in self.taken:
            raise ValueError(f"{pivot.id}: token {token} was excluded and yet drawn")
        self.taken.append(token)
        self.mass -= float(np.exp(pivot.logprobs[0]))


def joined(pivot: Generation, rest: Generation) -> Generation:
    """`rest` with its first token before it. Its spans follow on that of the pivot; a version that goes on is one span."""
    return Generation(
        id=rest.id,
        token_ids=np.concatenate([pivot.token_ids, rest.token_ids]),
        logprobs=np.concatenate([pivot.logprobs, rest.logprobs]),
        entropies=np.concatenate([pivot.entropies, rest.entropies]),
        status=rest.status,
        spans=_follow(pivot.spans, rest.spans),
        cached_tokens=rest.cached_tokens,
    )


def _follow(first: Sequence[VersionSpan], then: Sequence[VersionSpan]) -> tuple[VersionSpan, ...]:
    *before, last = first
    after = [VersionSpan(version=span.version, start=span.start + last.end, end=span.end + last.end) for span in then]
    if after and after[0].version == last.version:
        last, after = VersionSpan(version=last.version, start=last.start, end=after[0].end), after[1:]
    return (*before, last, *after)
