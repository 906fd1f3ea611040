"""From rollout trees to the two informations of every trajectory, and how I(r;a) grows along it.

One place decides what is asked of the scoring model: the passes of the estimator and, for the failure modes, the gold answer after
several prefixes of the response. A response is a path of the forest anyway, so each of those costs the answer's own tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from ib_lpo.policy.forest import Path
from ib_lpo.scoring.answer_span import Decode
from ib_lpo.scoring.config import IbConfig
from ib_lpo.scoring.estimators import ESTIMATORS, Evidence, Need, Scored, Terms
from ib_lpo.scoring.estimators.pmi import gain
from ib_lpo.scoring.passes import PASSES, answer_after, profile_positions, reasoning_end
from ib_lpo.scoring.repetition import repeated_tokens
from ib_lpo.tree import RolloutTree, Trajectory

Measure = Callable[[list[Path]], list[Scored]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One trajectory as the scoring model sees it, before it is compared with its siblings."""

    terms: Terms
    profile_at: tuple[int, ...] = ()  # as in IbScore
    profile: tuple[float, ...] = ()


def read(trees: Sequence[RolloutTree], ib: IbConfig, decode: Decode, measure: Measure) -> list[dict[str, Reading]]:
    """The reading of every trajectory by its id, one dict per tree. `measure` scores paths, in order; it is called once.

    Raises ValueError for a question that lacks what the estimator needs.
    """
    plans = [[_plan(tree, trajectory, ib, decode) for trajectory in tree.trajectories] for tree in trees]
    scored = iter(measure([path for of_tree in plans for plan in of_tree for path in plan.paths]))
    return [{plan.trajectory.id: plan.read(scored, ib) for plan in of_tree} for of_tree in plans]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is asked about one trajectory: the estimator's passes, then I(r;a) at each of `profile_at`."""

    trajectory: Trajectory
    advantage: float
    needs: list[Need]
    profile_at: tuple[int, ...]
    paths: list[Path]

    def read(self, scored: Iterator[Scored], ib: IbConfig) -> Reading:
        """Consumes the trajectory's share of `scored`."""
        trajectory = self.trajectory
        evidence = Evidence(
            passes=dict(zip(self.needs, islice(scored, len(self.needs)), strict=True)),
            repeated=repeated_tokens(trajectory.response_ids)[len(trajectory.prefix_ids) :],
            entropies=trajectory.entropies,
            advantage=self.advantage,
        )
        profile: tuple[float, ...] = ()
        if self.profile_at:
            untold = next(scored)
            profile = tuple(gain(told, untold) for told in islice(scored, len(self.profile_at)))
        return Reading(terms=ESTIMATORS[ib.estimator].terms(evidence, ib), profile_at=self.profile_at, profile=profile)


def _plan(tree: RolloutTree, trajectory: Trajectory, ib: IbConfig, decode: Decode) -> _Plan:
    needs = sorted(ESTIMATORS[ib.estimator].needs)
    end = reasoning_end(trajectory, decode)
    profiled = needs and tree.question.answer_ids  # there is a scoring model, and something to ask it
    profile_at = profile_positions(trajectory, end, ib.failures.points) if profiled else ()
    paths = [PASSES[need](tree.question, trajectory, end) for need in needs]
    if profile_at:
        response = trajectory.response_ids
        paths += [PASSES[Need.ANSWER_GIVEN_QUESTION](tree.question, trajectory, end)]
        paths += [answer_after(tree.question, response[:position]) for position in profile_at]
    return _Plan(trajectory=trajectory, advantage=_advantage(tree, trajectory), needs=needs, profile_at=profile_at, paths=paths)


def _advantage(tree: RolloutTree, trajectory: Trajectory) -> float:
    """Reward minus the mean over the verifiable trajectories of the question; 0 for an unverifiable one."""
    rewards = [t.reward for t in tree.trajectories if t.reward is not None]
    return 0.0 if trajectory.reward is None else trajectory.reward - float(np.mean(rewards))
