"""The learning rate is a function of the training step: warm-up to 1, positive in every step, 0 after the last."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.learner.config import LearnerConfig
from ib_lpo.learner.schedule import DECAYS, rate_factor, rates

kinds = st.sampled_from(sorted(DECAYS))
decaying = st.sampled_from(sorted(set(DECAYS) - {"constant"}))
totals = st.integers(1, 100_000)


@st.composite
def runs(draw, kinds=kinds):
    total = draw(totals)
    return {"warmup_steps": draw(st.integers(0, total)), "total_steps": total, "kind": draw(kinds)}


@given(runs(), st.data())
def test_positive_and_at_most_one_in_every_step(run, data):
    total = run["total_steps"]
    for step in (1, total, data.draw(st.integers(1, total))):
        assert 0.0 < rate_factor(step, **run) <= 1.0


@given(runs())
def test_the_warm_up_reaches_one_at_its_end_and_not_before(run):
    warmup = run["warmup_steps"]
    assert rate_factor(max(1, warmup), **run) == 1.0
    if warmup > 1:
        assert rate_factor(warmup - 1, **run) < 1.0
        assert rate_factor(1, **run) == 1 / warmup


@given(runs(decaying))
def test_nothing_is_left_after_the_last_step(run):
    assert rate_factor(run["total_steps"] + 1, **run) == 0.0


@given(runs(), st.data())
def test_rises_then_falls_without_a_jump(run, data):
    """The steepest slope of a half cosine over n steps is pi / 2n."""
    step = data.draw(st.integers(1, run["total_steps"]))
    change = rate_factor(step + 1, **run) - rate_factor(step, **run)
    if step < run["warmup_steps"]:
        assert 0.0 < change <= 1 / run["warmup_steps"] + 1e-12
    else:
        decay = run["total_steps"] + 1 - max(1, run["warmup_steps"])
        assert -(math.pi / 2) / decay - 1e-12 <= change <= 0.0
        assert (change < 0.0) == (run["kind"] != "constant")


def test_values_by_hand():
    run = {"warmup_steps": 2, "total_steps": 5}
    got = {kind: [rate_factor(step, kind=kind, **run) for step in range(1, 7)] for kind in DECAYS}
    assert got["constant"] == [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert got["linear"] == [0.5, 1.0, 0.75, 0.5, 0.25, 0.0]
    assert got["cosine"] == pytest.approx([0.5, 1.0, (2 + math.sqrt(2)) / 4, 0.5, (2 - math.sqrt(2)) / 4, 0.0])


def test_a_run_shorter_than_its_warm_up_ends_within_it():
    assert [rate_factor(step, warmup_steps=4, total_steps=2, kind="linear") for step in (1, 2)] == [0.25, 0.5]


def test_groups_keep_their_ratio_and_the_default_is_the_full_rate():
    config = LearnerConfig(lr=2e-6, psa_lr=1e-4, lr_schedule="linear", warmup_steps=4)
    assert rates(config, 3, 10) == {"policy": pytest.approx(1.5e-6), "psa": pytest.approx(7.5e-5)}
    plain = LearnerConfig()
    assert {step: rates(plain, step, 3)["policy"] for step in (1, 2, 3)} == dict.fromkeys((1, 2, 3), plain.lr)


def test_steps_count_from_one():
    with pytest.raises(ValueError, match="training step 0: steps count from 1"):
        rate_factor(0, warmup_steps=0, total_steps=3, kind="constant")
