"""How old tokens are, and that only those of the present weights are compared with the engine."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.learner.batch import Planting, collate, sequences
from ib_lpo.learner.measure import PEAKS, SUMS, measure, metrics
from ib_lpo.learner.staleness import staleness_metrics
from ib_lpo.metrics.registry import describe
from ib_lpo.tree import Question, RolloutTree, Status, Trajectory, VersionSpan


def item(*versions):
    return SimpleNamespace(versions=np.array(versions, dtype=np.int32))


def test_ages_by_token_and_trajectory():
    found = staleness_metrics([item(7, 7, 7), item(5, 5, 7), item(6, 6)], version=7)
    assert found["staleness/mean"] == pytest.approx((2 + 2 + 1 + 1) / 8)
    assert found["staleness/max"] == 2 and found["staleness/mixed"] == pytest.approx(1 / 3)
    assert [found[f"staleness/share_{age}"] for age in (0, 1, 2)] == [4 / 8, 2 / 8, 2 / 8]
    assert all(describe(name) is not None for name in found)


@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=6), min_size=1, max_size=6))
def test_shares_add_up_and_agree_with_mean_and_max(ages):
    found = staleness_metrics([item(*(9 - age for age in of)) for of in ages], version=9)
    shares = {int(name.rpartition("_")[2]): value for name, value in found.items() if "share_" in name}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert sum(age * share for age, share in shares.items()) == pytest.approx(found["staleness/mean"])
    assert max(age for age, share in shares.items() if share) == found["staleness/max"] == max(map(max, ages))
    assert found["staleness/mixed"] == pytest.approx(np.mean([len(set(of)) > 1 for of in ages]))


def test_without_tokens_nothing_is_said():
    assert staleness_metrics([], version=3) == {}


def trajectory(id, *spans):
    """Spans are (version, tokens)."""
    ends = np.cumsum([0, *(count for _, count in spans)])
    length = int(ends[-1])
    return Trajectory(
        id=id,
        seed=0,
        engine=0,
        prefix_ids=np.empty(0, np.int32),
        token_ids=np.arange(length, dtype=np.int32) + 5,
        logprobs=np.zeros(length, np.float32),
        entropies=np.ones(length, np.float32),
        spans=tuple(VersionSpan(version=v, start=int(a), end=int(b)) for (v, _), a, b in zip(spans, ends, ends[1:], strict=False)),
        status=Status.FINISHED,
        cached_tokens=0,
        reward=1.0,
        advantage=0.5,
    )


class Totals(dict):
    """A tally of one rank."""

    def __init__(self):
        super().__init__(dict.fromkeys((*SUMS, *PEAKS), 0.0))

    def add(self, name, value):
        self[name] += float(value.sum()) if isinstance(value, torch.Tensor) else value

    def peak(self, name, values):
        self[name] = max([self[name], *values.tolist()])


def measured(version, *trajectories, gap):
    """Of a policy whose log-prob of every token is `gap(token's version)` off what the engine said."""
    question = Question(id="q", text="", answer="", prompt_ids=(1, 2), answer_ids=())
    items = sequences([RolloutTree(question=question, trajectories=list(trajectories))])
    batch, totals = collate(items, Planting(share=True, latents=False), seed=(0, 1)), Totals()
    policy = torch.tensor([gap(int(v)) for v in batch.versions])

    def engine(forest):
        return policy, torch.ones_like(policy)

    measure(engine, batch, version=version, conditioned=False, reference=None, tally=totals)
    return metrics(totals)


def test_only_tokens_of_the_present_weights_count_as_mismatch():
    """Those of version 4 are 0.5 nats off, as other weights are; those of version 5 are the engine's to answer for."""
    found = measured(5, trajectory("q/r0", (4, 3), (5, 2)), trajectory("q/r1", (5, 6)), gap=lambda v: 0.01 if v == 5 else 0.5)
    assert found["mismatch/mean_abs"] == pytest.approx(0.01) and found["mismatch/max_abs"] == pytest.approx(0.01)
    assert found["staleness/drift"] == pytest.approx(0.5) and found["update/tokens"] == 11


def test_without_tokens_of_the_present_weights_no_mismatch_is_claimed():
    found = measured(5, trajectory("q/r0", (3, 2), (4, 2)), gap=lambda v: 0.25)
    assert "mismatch/max_abs" not in found and found["staleness/drift"] == pytest.approx(0.25)


def test_without_older_tokens_there_is_no_drift():
    found = measured(5, trajectory("q/r0", (5, 4)), gap=lambda v: 0.125)
    assert "staleness/drift" not in found and found["mismatch/max_abs"] == pytest.approx(0.125)
