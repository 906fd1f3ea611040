"""Loops, fluff and drift: found where they are, blamed on whose they are, and nowhere else."""

import zlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ib_lpo.scoring.config import FailureConfig
from ib_lpo.scoring.failures import find_failures, label_failures, logical_drift, repetitive_loop
from ib_lpo.scoring.loops import compressed_share, repeating_stretches
from ib_lpo.scoring.repetition import repeated_tokens
from ib_lpo.tree import Failure, FailureMode, IbScore, Trajectory
from tests.scoring.trees import trajectory, tree

CONFIG = FailureConfig()
SOLUTION_TEXT = """
Marta bakes three trays of biscuits in the morning. Each tray holds 24 biscuits, so in the morning there are 3 * 24 = 72 biscuits. At noon
her brother takes a quarter of them to school, which is 72 / 4 = 18 biscuits, and 72 - 18 = 54 biscuits are left. In the afternoon she
bakes two more trays of the same size, which adds 2 * 24 = 48 biscuits, and now there are 54 + 48 = 102 biscuits on the table. She wants
to fill bags of 6 biscuits for the market. Since 102 / 6 = 17, she can fill 17 bags and no biscuit is left over. Every bag is sold for 4
euros, so the bags bring 17 * 4 = 68 euros. Flour, butter and sugar cost her 3 euros for each tray, and she baked 3 + 2 = 5 trays, so the
ingredients cost 5 * 3 = 15 euros. What she earns is what the bags bring minus what the ingredients cost, that is 68 - 15 = 53 euros.
To check this, count the biscuits again: 5 trays of 24 are 120 biscuits, 18 of them went to school, and 120 - 18 = 102 went into bags.
"""
RESTATED_TEXT = """So the number of biscuits that Marta has after baking 5 trays and giving 18 to her brother is 102 , and the number of
bags of 6 that she can fill with these for the market is 17 ."""
SOLUTION, RESTATED = SOLUTION_TEXT.split(), RESTATED_TEXT.split()


def words(ids) -> str:
    """Any token id is some word, of letters without a pattern."""
    return "".join(f" {(int(token) + 7) ** 7 % 10_007:x}" for token in ids)


def spelled(tokens: list[str]):
    """Token ids of words, and what decodes them."""
    names = sorted(set(tokens))
    return [names.index(token) for token in tokens], lambda ids: " ".join(names[i] for i in ids)


def scored(token_ids, *, prefix_ids=(), score=-1.0, at=(), profile=()) -> Trajectory:
    made = trajectory("q/r0", list(token_ids), prefix_ids=list(prefix_ids))
    made.ib = IbScore(
        estimator="pmi",
        relevance=0.0,
        compression=0.0,
        relevance_z=0.0,
        compression_z=0.0,
        score=score,
        profile_at=tuple(at),
        profile=tuple(profile),
    )
    return made


def empty_fluff(made: Trajectory, config: FailureConfig) -> Failure | None:
    """What is called fluff once loop and drift are found."""
    return next((failure for failure in find_failures(made, config, words) if failure.mode is FailureMode.EMPTY_FLUFF), None)


def loop_of(tokens: list[str]) -> Failure | None:
    ids, decode = spelled(tokens)
    return repetitive_loop(scored(ids), CONFIG, decode)


def profiled(profile, at=None, **given) -> Trajectory:
    """A response of 100 tokens between two points of its profile, no 4-gram twice."""
    at = [100 * i for i in range(len(profile))] if at is None else at
    return scored(range(at[-1]), at=at, profile=profile, **given)


# loops


@given(st.lists(st.integers(0, 5), max_size=80), st.integers(0, 40))
def test_a_text_without_repeats_is_never_a_loop(ids, fork):
    assume(not repeated_tokens(ids).any())
    lenient = FailureConfig(loop_tokens=4, loop_ratio=1.0)
    assert repetitive_loop(scored(ids[fork:], prefix_ids=ids[:fork]), lenient, words) is None


@given(st.lists(st.integers(0, 999), max_size=60, unique=True), st.lists(st.integers(1000, 1999), min_size=1, max_size=24), st.data())
def test_a_sentence_said_again_and_again_is_always_found_after_its_first_pass(text, sentence, data):
    rounds = data.draw(st.integers(max(4, 36 // len(sentence) + 2), 60))
    ids = text + sentence * rounds
    found = repetitive_loop(scored(ids), CONFIG, words)
    assert found is not None and found.mode is FailureMode.REPETITIVE_LOOP
    assert len(text) + 4 <= found.start <= len(text) + len(sentence) + 3 and found.end == len(ids)
    assert found.measure == compressed_share(words(ids[found.start :])) <= CONFIG.loop_ratio


@given(st.lists(st.integers(0, 3), max_size=120))
def test_stretches_are_apart_and_at_least_half_of_each_repeats(ids):
    repeated = repeated_tokens(ids)
    stretches = repeating_stretches(ids)
    assert all(start < end for start, end in stretches)
    assert all(before[1] < after[0] for before, after in pairwise(stretches))
    assert sum(int(repeated[start:end].sum()) for start, end in stretches) == repeated.sum()
    for start, end in stretches:
        assert repeated[start] and repeated[end - 1] and 2 * repeated[start:end].sum() >= end - start


def test_stock_phrases_between_new_words_are_no_stretch():
    phrases = [token for n in range(20) for token in (*range(n, n + 4), 100 + n)]
    stretches = repeating_stretches(list(range(24)) + phrases)
    assert len(stretches) == 20 and all(end - start == 1 for start, end in stretches)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=400))
def test_the_compressed_share_is_that_of_zlib_without_its_frame(text):
    frame = 2 + 4  # header and checksum, bytes (RFC 1950)
    assert compressed_share(text) == (len(zlib.compress(text.encode(), 9)) - frame) / len(text.encode())


def test_an_ordinary_solution_is_no_loop_and_neither_is_one_sentence_restated():
    assert loop_of(SOLUTION) is None
    restated = RESTATED + SOLUTION + RESTATED
    ids, decode = spelled(restated)
    (start, end) = max(repeating_stretches(ids), key=lambda stretch: stretch[1] - stretch[0])
    assert end - start >= CONFIG.loop_tokens and end == len(restated), "long enough to be suspected"
    assert compressed_share(decode(ids[start:end])) > CONFIG.loop_ratio + 0.15
    assert loop_of(restated) is None


@pytest.mark.parametrize("length", [6, 12, len(RESTATED)])
def test_the_same_words_going_round_are_a_loop_with_room_to_the_threshold(length):
    found = loop_of(SOLUTION + RESTATED[-length:] * 8)
    assert found is not None and found.start >= len(SOLUTION) and found.end == len(SOLUTION) + 8 * length
    assert found.measure < CONFIG.loop_ratio - 0.15


def test_a_counter_does_not_hide_a_loop():
    counted = [word for n in range(12) for word in f"Attempt {n} : we try to solve the equation for x once again .".split()]
    found = loop_of(SOLUTION + counted)
    assert found is not None and found.end - found.start >= 10 * 14


def test_a_branch_answers_for_its_own_part_of_a_loop():
    ids = list(range(50)) + list(range(100, 108)) * 20
    shared, own = ids[:150], ids[150:]
    found = repetitive_loop(scored(own, prefix_ids=shared), CONFIG, words)
    assert (found.start, found.end) == (150, 210)
    assert repetitive_loop(scored(own[:32], prefix_ids=shared), CONFIG, words) is not None
    assert repetitive_loop(scored(own[:31], prefix_ids=shared), CONFIG, words) is None
    assert repetitive_loop(scored(range(200, 300), prefix_ids=shared), CONFIG, words) is None


def test_the_longest_stretch_that_compresses_is_the_evidence():
    said = list(range(1000, 1060))
    ids = said + [1] + list(range(100, 108)) * 6 + [2, 3] + said  # 60 tokens restated once are longer than the loop
    found = repetitive_loop(scored(ids), CONFIG, words)
    assert (found.start, found.end) == (72, 109)


def test_of_two_loops_the_longer_is_the_evidence():
    ids = [5, 6, 7] * 15 + list(range(100, 120)) + [8, 9] * 30 + list(range(200, 220)) + [5, 4, 3] * 15
    found = repetitive_loop(scored(ids), CONFIG, words)
    assert (found.start, found.end) == (70, 125)


def test_what_cannot_be_seen_can_loop_too():
    assert repetitive_loop(scored([9] * 40), CONFIG, lambda ids: "").measure == 0.0


# fluff


def test_fluff_is_the_longest_stretch_without_a_new_high():
    found = empty_fluff(profiled([0.0, 0.5, 0.52, 0.3, 0.54, 0.9, 1.4]), CONFIG)
    assert (found.mode, found.start, found.end) == (FailureMode.EMPTY_FLUFF, 100, 400)
    assert found.measure == pytest.approx(0.04)


def test_a_response_that_keeps_rising_is_no_fluff():
    assert empty_fluff(profiled([0.0, 0.06, 0.12, 0.18, 0.24]), CONFIG) is None
    assert empty_fluff(profiled([0.0, 0.04, 0.08, 0.12, 0.16]), CONFIG) is not None, "but slowly enough is"


def test_short_plateaus_are_no_fluff():
    assert empty_fluff(profiled([0.0, 0.0], at=[0, 63]), CONFIG) is None
    assert empty_fluff(profiled([0.0, 0.0], at=[0, 64]), CONFIG) is not None


def test_a_looping_stretch_is_a_loop_and_no_fluff():
    ids = list(range(100)) + list(range(200, 210)) * 40
    looping = scored(ids, at=[100, 200, 300, 400, 500], profile=[0.5] * 5)
    assert repetitive_loop(looping, CONFIG, words) is not None
    assert empty_fluff(looping, CONFIG) is None


def test_what_is_mostly_a_loop_is_no_fluff():
    mostly = scored(list(range(70)) + list(range(100, 110)) * 23, at=[0, 300], profile=[0.5, 0.5])
    assert empty_fluff(mostly, CONFIG) is None
    half = scored(list(range(50)) + list(range(100, 105)) * 10, at=[0, 100], profile=[0.5, 0.5])
    assert empty_fluff(half, CONFIG) is None, "58 tokens that do not loop are fewer than 64"
    assert empty_fluff(half, FailureConfig(fluff_tokens=58)) is not None


def test_fluff_before_a_loop_is_shown_with_little_of_the_loop():
    ids = list(range(200)) + list(range(300, 310)) * 40
    both = scored(ids, at=range(0, 700, 100), profile=[0.5] * 7)
    label_failures([tree(both)], CONFIG, words)
    assert [(f.mode.value, f.start, f.end) for f in both.failures] == [("empty_fluff", 0, 300), ("repetitive_loop", 213, 600)]


# drift


def test_drift_runs_from_the_last_peak_to_the_end():
    found = logical_drift(profiled([0.0, 1.0, 0.2, 1.0, 0.9, 0.4]), CONFIG)
    assert (found.mode, found.start, found.end) == (FailureMode.LOGICAL_DRIFT, 300, 500)
    assert found.measure == pytest.approx(0.6)


def test_falling_from_the_start_is_drift_too_and_a_detour_is_none():
    assert logical_drift(profiled([0.0, -0.3, -0.6]), CONFIG).start == 0
    assert logical_drift(profiled([0.0, 1.0, -1.0, 0.8]), CONFIG) is None
    assert logical_drift(profiled([0.25]), CONFIG) is None


def test_the_fall_of_a_drift_is_no_fluff():
    falling = profiled([1.0, 0.7, 0.3])
    assert logical_drift(falling, CONFIG) is not None and empty_fluff(falling, CONFIG) is None
    late = profiled([0.0, 0.0, 0.0, 0.5, -0.5])
    assert (empty_fluff(late, CONFIG).start, empty_fluff(late, CONFIG).end) == (0, 200)


PROFILE = st.lists(st.integers(-128, 128).map(lambda n: n / 64), min_size=1, max_size=9)  # sums of these are exact


@given(PROFILE, st.integers(-64, 64).map(lambda n: n / 64))
def test_only_changes_of_the_profile_count(profile, constant):
    shifted = [value + constant for value in profile]
    for mode in (logical_drift, empty_fluff):
        assert mode(profiled(profile), CONFIG) == mode(profiled(shifted), CONFIG)


def test_a_branch_answers_for_what_happened_after_its_fork():
    fallen_before = scored(range(100, 300), prefix_ids=range(100), at=[0, 50, 100, 300], profile=[0.0, 2.0, 0.5, 0.6])
    assert logical_drift(fallen_before, CONFIG) is None
    assert empty_fluff(fallen_before, CONFIG) is None


# labels


@st.composite
def trajectories(draw):
    size = draw(st.integers(1, 12))
    response = draw(st.lists(st.integers(0, 2), min_size=size, max_size=20)) * draw(st.integers(1, 12))
    fork = draw(st.integers(0, len(response) - 1))
    at = sorted(draw(st.sets(st.integers(0, len(response)), max_size=8)))
    profile = draw(st.lists(st.floats(-2, 2), min_size=len(at), max_size=len(at)))
    score = draw(st.floats(-1, 1))
    return scored(response[fork:], prefix_ids=response[:fork], score=score, at=at, profile=profile)


SENSITIVE = FailureConfig(below=0.25, loop_tokens=4, fluff_tokens=8, drift_drop=0.1)


@given(st.lists(trajectories(), min_size=1, max_size=4))
def test_labels_lie_in_own_tokens_of_low_trajectories_and_are_counted(everyone):
    metrics = label_failures([tree(*everyone[:2]), tree(*everyone[2:])], SENSITIVE, words)
    low = [t for t in everyone if t.ib.score < SENSITIVE.below]
    assert all(t.failures == () for t in everyone if t.ib.score >= SENSITIVE.below)
    for t in low:
        assert all(len(t.prefix_ids) <= failure.start < failure.end <= len(t.response_ids) for failure in t.failures)
        modes = [failure.mode for failure in t.failures]
        assert modes == [mode for mode in FailureMode if mode in modes]
    assert metrics["failure/low"] == len(low)
    assert metrics["failure/unexplained"] == sum(t.failures == () for t in low)
    for mode in FailureMode:
        assert metrics[f"failure/{mode}"] == sum(failure.mode is mode for t in low for failure in t.failures)


def test_a_trajectory_may_show_every_mode():
    ids = list(range(200)) + list(range(300, 310)) * 20
    worst = scored(ids, at=[0, 100, 200, 300, 400], profile=[0.5, 0.5, 0.5, 0.2, -0.5])
    fine = scored(ids, at=[0, 400], profile=[0.0, -3.0], score=0.0)
    metrics = label_failures([tree(worst, fine)], CONFIG, words)
    assert [failure.mode for failure in worst.failures] == list(FailureMode) and fine.failures == ()
    assert metrics == {
        "failure/low": 1.0,
        "failure/unexplained": 0.0,
        "failure/unprofiled": 0.0,
        "failure/empty_fluff": 1.0,
        "failure/repetitive_loop": 1.0,
        "failure/logical_drift": 1.0,
    }


def test_without_a_profile_loops_alone_are_found_and_that_is_counted():
    looping, other = scored([1, 2, 3, 4, 5] * 20), scored(range(200), at=[0], profile=[0.0])
    metrics = label_failures([tree(looping, other)], CONFIG, words)
    assert [failure.mode for failure in looping.failures] == [FailureMode.REPETITIVE_LOOP] and other.failures == ()
    assert (metrics["failure/unprofiled"], metrics["failure/unexplained"]) == (2.0, 1.0)


def test_nothing_is_counted_where_nothing_was_scored_and_old_labels_go():
    unscored = trajectory("q/r0", [1] * 100)
    unscored.failures = (Failure(mode=FailureMode.LOGICAL_DRIFT, start=0, end=1, measure=1.0),)
    assert label_failures([tree(unscored)], CONFIG, words) == {} and unscored.failures == ()


def test_evidence_is_of_plain_numbers():
    found = repetitive_loop(scored(np.array([1, 2, 3, 4, 5] * 20, dtype=np.int32)), CONFIG, words)
    assert (type(found.start), type(found.end), type(found.measure)) == (int, int, float)
