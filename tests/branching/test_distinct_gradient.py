"""What distinct pivots do to the gradient of a choice between two ways (docs/method.md section 1), by enumeration."""

from itertools import product

import numpy as np
import pytest

from ib_lpo.branching.pivots import PivotDraw
from ib_lpo.learner.advantages.assign import assign_advantages
from ib_lpo.learner.config import AdvantageConfig
from ib_lpo.tree import Fork, Question, RolloutTree, Status, Trajectory, Verdict, VersionSpan

WORTH = {0: 0.3, 1: 0.9}  # probability that a way is right; the second pays more
DELTA = WORTH[1] - WORTH[0]


def trajectory(id, token, reward, parent=None):
    fork = None if parent is None else Fork(position=0, entropy=0.1, candidates=1, prefix_length=0)
    return Trajectory(
        id=id, parent=parent, fork=fork, seed=0, engine=0, prefix_ids=np.empty(0, np.int32), token_ids=np.array([token], np.int32),
        logprobs=np.zeros(1, np.float32), entropies=np.zeros(1, np.float32), spans=(VersionSpan(version=0, start=0, end=1),),
        status=Status.FINISHED, cached_tokens=0, verdict=Verdict.CORRECT if reward else Verdict.WRONG, reward=reward,
    )  # fmt: skip


def pull(tokens, rewards, p):
    """On the log-odds of way 1 at probability p, of one group whose first trajectory is a root: sum of advantage times score."""
    outcomes = enumerate(zip(tokens, rewards, strict=True))
    named = [trajectory(f"q/{i}", token, reward, "q/0" if i else None) for i, (token, reward) in outcomes]
    tree = RolloutTree(question=Question(id="q", text="", answer="", prompt_ids=(1,), answer_ids=()), trajectories=named)
    assign_advantages([tree], AdvantageConfig(kind="group_mean"), max_response_tokens=9)
    return sum(t.advantage * ((1 - p) if t.token_ids[0] else -p) for t in named)


def chance(token, p):
    return p if token else 1 - p


def expected_pull(groups, p):
    """Over (tokens, probability) and all rewards of these."""
    total = 0.0
    for tokens, likely in groups:
        for rewards in product((0.0, 1.0), repeat=len(tokens)):
            weight = np.prod([WORTH[token] if reward else 1 - WORTH[token] for token, reward in zip(tokens, rewards, strict=True)])
            total += likely * weight * pull(tokens, rewards, p)
    return total


def sampled(p):
    """Two independent samples."""
    return [((a, b), chance(a, p) * chance(b, p)) for a, b in product((0, 1), repeat=2)]


def distinct(p):
    """A root, and the one branch that PivotDraw leaves to it."""
    found = []
    for root in (0, 1):
        draw = PivotDraw.after(root, float(np.log(chance(root, p))), wanted=1)
        assert draw.more(least_mass=1e-6)
        left = [token for token in (0, 1) if token not in draw.taken]
        assert sum(chance(token, p) for token in left) == pytest.approx(draw.mass)
        found += [((root, token), chance(root, p) * chance(token, p) / draw.mass) for token in left]
    return found


@pytest.mark.parametrize("p", [0.5, 0.12, 0.01, 1e-4])
def test_the_pull_of_two_distinct_continuations_does_not_depend_on_how_rare_the_better_way_is(p):
    assert expected_pull(distinct(p), p) == pytest.approx(DELTA / 2, rel=1e-9)


@pytest.mark.parametrize("p", [0.5, 0.12, 0.01, 1e-4])
def test_that_of_two_samples_vanishes_with_it(p):
    """The mean of a group of n takes 1/n of the policy gradient away from each of its n samples: n (1 - 1/n) p (1 - p) delta."""
    assert expected_pull(sampled(p), p) == pytest.approx(p * (1 - p) * DELTA, rel=1e-9)
