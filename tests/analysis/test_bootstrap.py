"""Bootstrap intervals: they cover, they are seeded, they shrink."""

import numpy as np

from ib_lpo.bootstrap import bootstrap


def interval(values, seed=0):
    return bootstrap(values, resamples=2000, rng=np.random.default_rng(seed))


def test_the_interval_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        found = interval(rng.normal(0.3, 1.0, size=40))
        covered += found.low <= 0.3 <= found.high
    assert 0.88 <= covered / 200 <= 0.99


def test_it_is_seeded_and_says_when_it_excludes_zero():
    values = np.random.default_rng(0).normal(1.0, 0.5, size=30)
    assert interval(values) == interval(values)
    assert interval(values).excludes_zero
    assert not interval(values - values.mean()).excludes_zero
    assert interval(-values).mean == -interval(values).mean


def test_equal_values_have_no_interval():
    for values in (np.full(5, 0.25), np.array([0.25])):
        found = interval(values)
        assert found.mean == 0.25 and found.low is None and found.high is None
        assert not found.excludes_zero and found.shown(".1f", scale=100) == "25.0"
    assert interval(np.array([0.0, 1.0])).shown(".1f", scale=100) == "50.0 [0.0, 100.0]"
