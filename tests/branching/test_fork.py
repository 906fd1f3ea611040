"""Fork selection: only eligible positions, only above the floor, only among the most uncertain."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.branching.config import BranchingConfig
from ib_lpo.branching.fork import select_fork

entropies = st.lists(st.floats(0, 8, width=32), min_size=0, max_size=80).map(lambda values: np.array(values, dtype=np.float32))


@given(entropies, st.integers(0, 90), st.floats(0.01, 1), st.floats(0, 4, width=32), st.booleans(), st.integers(0, 9))
def test_a_fork_is_uncertain_eligible_and_above_the_floor(entropies, end, top, floor, pivot, seed):
    config = BranchingConfig(top_fraction=top, floor=floor, include_pivot=pivot)
    fork = select_fork(entropies, end=end, config=config, rng=np.random.default_rng(seed))
    eligible = range(1, min(end, len(entropies)))
    ranked = sorted((float(entropies[t]) for t in eligible), reverse=True)
    count = max(1, math.ceil(top * len(eligible)))
    allowed = [h for h in ranked[:count] if h >= floor]
    if fork is None:
        assert not allowed
        return
    assert fork.position in eligible
    assert fork.entropy == entropies[fork.position] >= max(floor, ranked[count - 1])
    assert fork.candidates == len(allowed)
    assert fork.prefix_length == fork.position + pivot >= 1


@given(entropies.filter(lambda e: len(e) > 2))
def test_argmax_takes_the_most_uncertain_position(entropies):
    fork = select_fork(entropies, end=99, config=BranchingConfig(select="argmax", floor=0), rng=np.random.default_rng(0))
    assert fork.position == 1 + int(np.argmax(entropies[1:]))


def test_the_draw_is_uniform_over_the_candidates():
    entropies = np.zeros(41, dtype=np.float32)
    entropies[[5, 17]] = 3.0
    config = BranchingConfig(top_fraction=0.05, floor=1.0)
    drawn = [select_fork(entropies, end=41, config=config, rng=np.random.default_rng(i)).position for i in range(400)]
    assert set(drawn) == {5, 17}
    assert 140 < drawn.count(5) < 260
