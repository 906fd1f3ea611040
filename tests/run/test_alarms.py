"""Alarms: when they go on, what they say, how often they are told, and that a resumed run tells the same."""

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.alarms import ALARMS, raise_alarms
from ib_lpo.learner.config import AdvantageConfig, LearnerConfig

EVERY = 3
LEARNER = LearnerConfig(advantage=AdvantageConfig(silent_steps=EVERY), max_logprob_gap=0.5)
HEALTHY = {
    "advantage/groups": 4.0,
    "advantage/all_right_groups": 0.0,
    "mismatch/mean_abs": 1e-3,
    "mismatch/max_abs": 0.1,
    "loss/skipped_steps": 0.0,
}


def silent(**groups):
    """Metrics of a step whose groups all lack signal, so many for each cause."""
    return (
        HEALTHY | {"advantage/groups": float(sum(groups.values()))} | {f"advantage/{name}_groups": float(n) for name, n in groups.items()}
    )


def follow(steps):
    """The run's lines with their alarms, and what was told: (step from 0, text)."""
    lines, told = [], []
    for number, metrics in enumerate(steps):
        alarms, texts = raise_alarms(lines, metrics, LEARNER)
        lines.append(metrics | alarms)
        told += [(number, text) for text in texts]
    return lines, told


def test_a_healthy_run_is_quiet_and_counts_zero():
    lines, told = follow([HEALTHY] * 10)
    assert told == []
    assert all({name: line[f"alarms/{name}"] for name in ALARMS} == dict.fromkeys(ALARMS, 0.0) for line in lines)


def test_silence_needs_consecutive_steps_and_is_told_again_every_few():
    steps = [silent(all_wrong=4)] * 2 + [HEALTHY] + [silent(all_wrong=4)] * 8
    lines, told = follow(steps)
    assert [line["alarms/silence"] for line in lines] == [0] * 5 + [1] * 6
    assert [number for number, _ in told] == [5, 8]
    assert "no group had signal in 3 steps" in told[0][1] and "no group had signal in 6 steps" in told[1][1]


@pytest.mark.parametrize(
    ("groups", "seen", "remedy"),
    [
        ({"all_right": 3, "all_wrong": 1}, "9 of the last 12 groups every answer was right", "batches_per_step"),
        ({"all_right": 1, "all_wrong": 3}, "9 of the last 12 groups every answer was wrong", "branching.roots"),
        ({"unverifiable": 4}, "12 of the last 12 groups no answer could be verified", "verifier.deadline_s"),
        ({"filtered": 2, "all_wrong": 1, "all_right": 1}, "6 of the last 12 groups the filter left no rewards that differ", "filter.keep"),
    ],
)
def test_silence_names_the_dominating_cause_and_a_remedy(groups, seen, remedy):
    _, ((number, text),) = follow([silent(**groups)] * EVERY)
    assert number == EVERY - 1
    assert seen in text and remedy in text and "\n" not in text


def test_a_single_group_with_signal_is_no_silence():
    _, told = follow([silent(all_wrong=4) | {"advantage/groups": 5.0}] * (2 * EVERY))
    assert told == []


def test_silence_looks_at_the_latest_steps_for_its_cause():
    _, told = follow([silent(all_right=4)] * EVERY + [silent(all_wrong=4)] * EVERY)
    assert ["every answer was right" in told[0][1], "every answer was wrong" in told[1][1]] == [True, True]


@pytest.mark.parametrize(("gap", "on"), [(0.5, False), (0.51, True), (math.nan, True), (None, True), (math.inf, True)])
def test_a_mismatch_above_the_limit_or_not_finite_is_an_alarm(gap, on):
    lines, told = follow([HEALTHY | {"mismatch/mean_abs": gap}])
    assert (lines[0]["alarms/mismatch"], len(told)) == (float(on), int(on))
    if on:
        assert "learner.max_logprob_gap=0.5" in told[0][1]


def test_an_alarm_that_stays_on_is_told_when_it_starts_and_then_rarely():
    bad = HEALTHY | {"mismatch/mean_abs": 2.0}
    _, told = follow([bad] * 7 + [HEALTHY] + [bad] * 2)
    assert [number for number, _ in told] == [0, 3, 6, 8]


def test_a_skipped_optimiser_step_is_an_alarm():
    lines, told = follow([HEALTHY, HEALTHY | {"loss/skipped_steps": 2.0}, HEALTHY])
    assert [line["alarms/skipped"] for line in lines] == [0, 1, 0]
    assert told[0][0] == 1 and "2 optimiser steps skipped" in told[0][1] and "learner.lr" in told[0][1]


def test_a_step_that_measured_nothing_raises_nothing():
    lines, told = follow([{}])
    assert told == [] and set(lines[0].values()) == {0.0}


STEPS = st.sampled_from(
    [HEALTHY, silent(all_right=4), silent(all_wrong=4) | {"mismatch/mean_abs": 3.0}, HEALTHY | {"mismatch/mean_abs": math.nan}]
)


@given(st.lists(STEPS, max_size=14), st.data())
def test_a_resumed_run_tells_what_an_uninterrupted_one_tells(steps, data):
    """After a resume the earlier lines come from metrics.jsonl, where what is not finite is null."""
    lines, told = follow(steps)
    at = data.draw(st.integers(0, len(steps)))
    stored = [{k: v if math.isfinite(v) else None for k, v in line.items()} for line in lines[:at]]
    resumed, again = json.loads(json.dumps(stored)), []
    for number, metrics in enumerate(steps[at:], start=at):
        alarms, texts = raise_alarms(resumed, metrics, LEARNER)
        resumed.append(metrics | alarms)
        again += [(number, text) for text in texts]
    assert again == [item for item in told if item[0] >= at]


@pytest.mark.parametrize(
    ("shares", "says"),
    [
        ({"truncated": 1.0, "end_inside": 0.0}, "100% of the responses were cut off at rollout.max_response_tokens"),
        ({"truncated": 0.9, "end_inside": 0.0}, "data.chat_template_kwargs"),
        ({"truncated": 1.0, "end_inside": 0.95}, "95% of the responses go on after an end token.*rollout.stop_tokens"),
        ({"truncated": 0.89, "end_inside": 0.89}, None),
        ({}, None),
    ],
)
def test_nearly_all_responses_that_do_not_end(shares, says):
    lines, told = follow([HEALTHY | {f"grow/{name}": share for name, share in shares.items()}])
    assert lines[0]["alarms/endless"] == float(says is not None) and len(told) == int(says is not None)
    assert says is None or re.search(says, told[0][1])
