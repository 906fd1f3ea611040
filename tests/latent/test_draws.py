"""Draws: every vector a standard normal, the vectors of one fork as far apart as the kind promises."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.latent.draws import DRAWS, noise

counts, dims, seeds = st.integers(1, 9), st.integers(1, 33), st.integers(0, 2**63 - 1)


def draw(kind, count, dim, seed):
    return noise(kind, count, dim, np.random.default_rng(seed))


def normal_cdf(x):
    return torch.special.ndtr(torch.from_numpy(x).double()).numpy()


@settings(deadline=None)
@given(st.sampled_from(sorted(DRAWS)), counts, dims, seeds)
def test_shape_and_determinism(kind, count, dim, seed):
    found = draw(kind, count, dim, seed)
    assert found.shape == (count, dim) and found.dtype == np.float32 and np.isfinite(found).all()
    np.testing.assert_array_equal(found, draw(kind, count, dim, seed))
    assert not np.array_equal(found, draw(kind, count, dim, seed ^ 1))


@pytest.mark.parametrize("kind", sorted(DRAWS))
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_each_row_alone_is_standard_normal(kind, count):
    rng = np.random.default_rng(0)
    forks = np.stack([noise(kind, count, 2, rng) for _ in range(8000)])  # [forks, K, 2]
    for row in range(count):
        for dim in range(2):
            assert kolmogorov_smirnov(forks[:, row, dim]) < 2.7  # passed by one in a million of true samples
        assert abs(np.corrcoef(forks[:, row, 0], forks[:, row, 1])[0, 1]) < 0.06
        np.testing.assert_allclose(forks[:, row].mean(0), 0, atol=0.06)
        np.testing.assert_allclose(forks[:, row].var(0), 1, atol=0.08)


def kolmogorov_smirnov(samples):
    """sqrt(n) times the largest distance of the empirical distribution from N(0, 1)."""
    n = samples.size
    cdf = normal_cdf(np.sort(samples))
    return np.sqrt(n) * max((np.arange(1, n + 1) / n - cdf).max(), (cdf - np.arange(n) / n).max())


@settings(deadline=None)
@given(counts, dims, seeds)
def test_independent_rows_are_the_generators_own(count, dim, seed):
    expected = np.random.default_rng(seed).standard_normal((count, dim), dtype=np.float32)
    np.testing.assert_array_equal(draw("iid", count, dim, seed), expected)


@settings(deadline=None)
@given(counts, dims, seeds)
def test_antithetic_rows_cancel_in_pairs(count, dim, seed):
    found = draw("antithetic", count, dim, seed)
    paired = count // 2 * 2
    np.testing.assert_array_equal(found[0:paired:2] + found[1:paired:2], 0)
    if count % 2 and count > 1:
        assert not np.isin(np.abs(found[-1]), np.abs(found[:-1])).all()


@settings(deadline=None)
@given(counts, dims, seeds)
def test_every_stratum_is_hit_once_in_each_dimension(count, dim, seed):
    probability = np.sort(normal_cdf(draw("stratified", count, dim, seed)), axis=0)
    edges = np.arange(count + 1)[:, None] / count
    assert (probability > edges[:-1] - 1e-6).all() and (probability < edges[1:] + 1e-6).all()


def test_strata_of_dimensions_are_shuffled_apart():
    found = draw("stratified", 6, 200, 0)
    assert len({tuple(order) for order in found.argsort(0).T}) > 100  # of 720


@pytest.mark.parametrize("uniform", [0.0, np.nextafter(1.0, 0.0)])
def test_the_ends_of_the_unit_interval_stay_finite(uniform):
    class Edge:
        def random(self, shape):
            return np.full(shape, uniform)

        def permuted(self, values, axis):
            return values

    found = DRAWS["stratified"](3, 2, Edge())
    assert np.isfinite(found).all() and np.abs(found).max() < 9
