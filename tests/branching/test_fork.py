"""Fork selection: only eligible positions, at their distances, and only such as the selector names."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.branching.config import BranchingConfig
from ib_lpo.branching.fork import draw_forks, in_order
from ib_lpo.branching.selectors import SELECTORS

ENTROPIES = st.lists(st.floats(0, 8, width=32), min_size=0, max_size=80).map(lambda values: np.array(values, dtype=np.float32))
CONFIGS = st.builds(
    BranchingConfig,
    select=st.sampled_from(list(SELECTORS)),
    top_fraction=st.floats(0.01, 1),
    floor=st.floats(0, 4, width=32),
    min_distance=st.integers(1, 12),
    pivot=st.sampled_from(["keep", "resample", "distinct"]),
)


def select(entropies, config, seed=0, end=99, **of_trajectory):
    return in_order(draw_forks(entropies, end=end, config=config, rng=np.random.default_rng(seed), **of_trajectory))


def candidates(entropies, eligible, taken, config, openness=None):
    """What the next fork may be, written out."""
    weights = {t: np.float32(entropies[t]) * (1.0 if openness is None else openness[t]) for t in eligible}
    far = [t for t in eligible if all(abs(t - other) >= config.min_distance for other in taken)]
    ranked = sorted(eligible, key=lambda t: (-entropies[t], t))
    weighed = sorted(eligible, key=lambda t: (-weights[t], t))
    count = max(1, math.ceil(config.top_fraction * len(eligible)))
    return {
        "random": lambda: far,
        "argmax": lambda: [t for t in ranked if t in far and entropies[t] >= config.floor][:1],
        "top_entropy": lambda: [t for t in ranked[:count] if t in far and entropies[t] >= config.floor],
        "open_entropy": lambda: [t for t in weighed[:count] if t in far and entropies[t] >= config.floor],
    }[config.select]()


@given(
    ENTROPIES,
    CONFIGS,
    st.none() | st.integers(1, 30),
    st.integers(0, 110),
    st.integers(1, 5),
    st.integers(0, 9),
    st.none() | st.integers(0, 9),
    st.sampled_from([1.0, 0.5, 0.01]),
)
def test_forks_are_candidates_at_their_distances_and_none_is_missed(own, config, left, end, most, seed, opened, share):
    start = 0 if left is None else left + (config.pivot == "keep")
    given = None if opened is None else np.random.default_rng(opened).uniform(0.05, 1.0, own.size)
    forks = select(own, config, seed, end, most=most, start=start, left=left, openness=given, share=share)
    entropies = {start + i: float(h) for i, h in enumerate(own)}
    openness = None if given is None else {start + i: float(value) for i, value in enumerate(given)}
    eligible = [t for t in entropies if 1 <= t < end and (left is None or t - left >= config.min_distance)]
    eligible = eligible[: math.ceil(share * len(eligible))]
    positions = [fork.position for fork in forks]
    assert positions == sorted(positions) and len(forks) <= most
    assert set(positions) <= set(eligible)
    for fork in forks:
        assert all(abs(fork.position - p) >= config.min_distance for p in positions if p != fork.position)
        assert fork.entropy == entropies[fork.position]
        assert config.select == "random" or fork.entropy >= config.floor
        assert fork.prefix_length == fork.position + (config.pivot == "keep") > start
    if len(forks) < most:
        assert not eligible or not candidates(entropies, eligible, positions, config, openness)
    if forks:
        assert len(candidates(entropies, eligible, [], config, openness)) in {fork.candidates for fork in forks}


@given(ENTROPIES.filter(lambda e: len(e) > 2), st.integers(1, 5), st.integers(1, 9))
def test_argmax_takes_the_most_uncertain_position_then_the_next_at_its_distance(entropies, most, distance):
    config = BranchingConfig(select="argmax", floor=0, min_distance=distance)
    taken: list[int] = []
    while len(taken) < most and (far := [t for t in range(1, len(entropies)) if all(abs(t - o) >= distance for o in taken)]):
        taken.append(max(far, key=lambda t: (entropies[t], -t)))
    assert [fork.position for fork in select(entropies, config, most=most)] == sorted(taken)


def draws(config, entropies, times=400, **given):
    return [select(entropies, config, seed, **given)[0].position for seed in range(times)]


def test_the_draw_is_uniform_over_the_candidates():
    entropies = np.zeros(41, dtype=np.float32)
    entropies[[5, 17]] = 3.0
    drawn = draws(BranchingConfig(top_fraction=0.05, floor=1.0), entropies)
    assert set(drawn) == {5, 17}
    assert 140 < drawn.count(5) < 260


def test_random_forks_know_no_entropy():
    """The same draws whatever the entropies, everywhere but at token 0, with the floor out of reach."""
    config = BranchingConfig(select="random", floor=99, top_fraction=0.01)
    peaked, flat = np.zeros(9, np.float32), np.ones(9, np.float32)
    peaked[4] = 7
    assert draws(config, peaked) == draws(config, flat)
    drawn = draws(config, peaked, 800)
    assert set(drawn) == set(range(1, 9))
    assert max(map(drawn.count, drawn)) < 150


def test_one_fork_is_drawn_as_it_always_was():
    """Recorded with one fork per root: runs of that time keep their trees."""
    entropies = np.random.default_rng(7).random(200, dtype=np.float32) * 3
    found = [select(entropies, BranchingConfig(), seed, end=180)[0] for seed in range(4)]
    expected = []
    for seed in range(4):
        eligible = np.arange(1, 180)
        top = np.sort(eligible[np.argsort(-entropies[eligible], kind="stable")[:9]])
        expected.append(int(np.random.default_rng(seed).choice(top)))
    assert [fork.position for fork in found] == expected
    assert [select(entropies, BranchingConfig(), seed, end=180, most=3) for seed in range(4)] != [[fork] for fork in found]


@given(ENTROPIES, CONFIGS, st.integers(1, 4), st.integers(0, 9))
def test_more_forks_begin_with_the_same_ones(entropies, config, most, seed):
    """What `uniform` reserves is then what `by_outcome` may deal."""
    fewer, more = (draw_forks(entropies, end=99, config=config, rng=np.random.default_rng(seed), most=count) for count in (most, most + 2))
    assert more[:most] == fewer


def test_of_equally_uncertain_positions_the_open_one_is_taken():
    entropies, openness = np.ones(40, np.float32), np.full(40, 0.3)
    openness[[7, 21]] = 0.9, 0.8
    config = BranchingConfig(select="open_entropy", top_fraction=0.05)
    assert set(draws(config, entropies, openness=openness)) == {7, 21}
    assert set(draws(config.model_copy(update={"select": "top_entropy"}), entropies, openness=openness)) == {1, 2}
    assert set(draws(config, entropies)) == {1, 2}, "nothing is known"


def test_openness_does_not_lift_a_position_over_the_floor_nor_push_one_below():
    entropies, openness = np.full(10, 0.4, np.float32), np.full(10, 1.0)
    entropies[5], openness[5] = 0.6, 0.05
    config = BranchingConfig(select="open_entropy", floor=0.5, top_fraction=1.0)
    assert set(draws(config, entropies, 40, openness=openness)) == {5}


@pytest.mark.parametrize("pivot", ["keep", "resample", "distinct"])
def test_a_branch_forks_behind_its_own_fork(pivot):
    """Its prefix then holds a token of its own, with the pivot and without."""
    config = BranchingConfig(select="random", pivot=pivot)
    start = 6 + (pivot == "keep")
    drawn = {select(np.ones(4, np.float32), config, seed, start=start, left=6)[0].prefix_length for seed in range(99)}
    assert min(drawn) == start + 1
