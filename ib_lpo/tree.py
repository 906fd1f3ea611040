"""The domain's nouns: questions, trajectories, forks and rollout trees.

Token ids in, token ids out: a trajectory holds exactly the ids the engine sampled, and nothing re-tokenises them.
A trajectory owns only the tokens generated for it: a branch keeps the response tokens that it shares with its parent in
`prefix_ids`, so that summing `token_ids` over a tree counts every generated token once.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np


class Status(StrEnum):
    """How generation ended."""

    FINISHED = "finished"  # the model produced an end token, which is the last of token_ids
    TRUNCATED = "truncated"  # max_response_tokens reached


class Verdict(StrEnum):
    """What the verifier found; only CORRECT, WRONG and NO_ANSWER carry a reward."""

    CORRECT = "correct"
    WRONG = "wrong"
    NO_ANSWER = "no_answer"  # a well-formed response without a final answer: reward 0
    UNVERIFIABLE = "unverifiable"  # grading overran or crashed: no reward, no gradient, never 0


class FailureMode(StrEnum):
    """What went wrong in a trajectory of low S_IB."""

    EMPTY_FLUFF = "empty_fluff"  # a long stretch over which I(r;a) does not rise
    REPETITIVE_LOOP = "repetitive_loop"  # a stretch that repeats what was there before
    LOGICAL_DRIFT = "logical_drift"  # I(r;a) falls from its peak to the end


class Label(StrEnum):
    """Why the filter kept or dropped a trajectory."""

    ROOT = "root"  # kept because roots are kept
    TOP = "top"  # a branch among the N best of its siblings
    PRUNED = "pruned"  # a branch below the N best
    UNSCORED = "unscored"  # kept because scoring is off
    UNVERIFIABLE = "unverifiable"  # dropped: it has no reward


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question, tokenised once."""

    id: str
    text: str  # as in the data, without the prompt template
    answer: str  # gold answer
    prompt_ids: tuple[int, ...]  # template and chat template applied
    answer_ids: tuple[int, ...]  # the gold answer as the policy would write it, for I(r;a); empty without a gold answer
    lead_ids: tuple[int, ...] = ()  # stands before answer_ids wherever they are scored, and is not scored itself
    empty_prompt_ids: tuple[int, ...] = ()  # prompt_ids of an empty question: the context of log pi(o_t|o_<t) in I(q;r)
    informed_prompt_ids: tuple[int, ...] = ()  # prompt_ids with the gold answer shown: the context of H(o_t|q,a,o_<t)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """Where a branch leaves its parent, a root or another branch."""

    position: int  # t*, index into the parent's whole response, of a token that the parent owns
    entropy: float  # H at t*, nats
    candidates: int  # positions it was drawn from
    prefix_length: int  # response tokens shared with the parent: t*+1 with the pivot, t* without


@dataclass(frozen=True, slots=True, kw_only=True)
class IbScore:
    """S_IB, its terms before and after z-scoring among siblings, and how I(r;a) grew along the response.

    Units of the terms are those of the estimator; of pmi and rate, nats per answer token and nats per reference token.
    """

    estimator: str  # name in the registry
    relevance: float  # I(r;a)
    compression: float  # I(q;r)
    relevance_z: float
    compression_z: float
    score: float  # beta * relevance_z - compression_z, the number that ranks
    profile_at: tuple[int, ...] = ()  # numbers of response tokens after which `profile` was measured, ascending
    profile: tuple[float, ...] = ()  # I(r_<t; a), nats per answer token


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failure mode and its evidence: response tokens [start, end)."""

    mode: FailureMode
    start: int
    end: int
    measure: float  # compressed share of a loop, dimensionless; gain of I(r;a) over fluff, drop in a drift, nats per answer token


@dataclass(slots=True, kw_only=True)
class Trajectory:
    """A root or a branch. The engine fills the first part; grade, score, filter and advantages fill the rest."""

    id: str  # "<question>/r0", "<question>/r0/b2" or, of a branch of that branch, "<question>/r0/b2/b0"
    parent: str | None = None  # id of the root or branch that a branch leaves
    fork: Fork | None = None
    latent: np.ndarray | None = None  # float32 [dim], of token_ids alone: the prefix is computed z-free; None without z
    seed: int
    engine: int  # index of the engine that generated it
    prefix_ids: np.ndarray  # int32 [P], response tokens shared with the parent; empty for a root
    token_ids: np.ndarray  # int32 [T], generated for this trajectory alone
    logprobs: np.ndarray  # float32 [T], behaviour log-probs, nats, at the sampling temperature
    entropies: np.ndarray  # float32 [T], full-vocabulary entropy of the raw distribution, nats
    version: int  # policy version that generated the tokens
    status: Status
    cached_tokens: int  # prompt tokens read from the prefix cache

    verdict: Verdict | None = None
    reward: float | None = None
    ib: IbScore | None = None
    failures: tuple[Failure, ...] = ()
    rank: int | None = None  # by S_IB among the verifiable branches it was compared with; 1: the best
    kept: bool = True
    label: Label | None = None
    advantage: float | None = None

    @property
    def response_ids(self) -> np.ndarray:
        """The whole response, int32 [P + T]."""
        return np.concatenate([self.prefix_ids, self.token_ids])


@dataclass(slots=True, kw_only=True)
class RolloutTree:
    """All trajectories of one question in one step: roots in order, then branches in order, each before the branches that leave it."""

    question: Question
    trajectories: list[Trajectory] = field(default_factory=list)
    unforked: int = 0  # roots without an eligible fork position
    unforked_branches: int = 0  # branches that had budget to fork again, but no eligible position
    missing_forks: int = 0  # forks for which there was budget, but no eligible position any more; of all trajectories

    @property
    def roots(self) -> list[Trajectory]:
        return [t for t in self.trajectories if t.parent is None]

    def branches(self, parent: Trajectory) -> list[Trajectory]:
        """The branches that leave `parent` itself."""
        return [t for t in self.trajectories if t.parent == parent.id]

    def lineages(self) -> dict[str, tuple[str, ...]]:
        """For the id of every trajectory the ids on the way up: itself, its parent and so on, its root last."""
        parents = {t.id: t.parent for t in self.trajectories}
        return {id: tuple(_upwards(id, parents)) for id in parents}

    @property
    def kept(self) -> list[Trajectory]:
        return [t for t in self.trajectories if t.kept]


def _upwards(id: str | None, parents: Mapping[str, str | None]) -> Iterator[str]:
    while id is not None:
        yield id
        id = parents.get(id)


def natural_order(trajectory_id: str) -> list[tuple[int, str]]:
    """A sort key of ids with numbers by value, b2 before b10, and a trajectory before the branches that leave it."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", trajectory_id)]
