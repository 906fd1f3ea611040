"""Which tokens of a step the losses choose: the right number of the right ones, whatever their order."""

from statistics import fmean

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.learner.config import LearnerConfig
from ib_lpo.learner.losses import LOSSES, StepTokens

CHOOSERS = ["clip_cov", "high_entropy", "kl_cov"]
SEEDS = st.integers(0, 10_000)


def config_of(kind, **keys):
    return LearnerConfig(loss={"kind": kind, **keys}).loss


def step(count: int, seed: int, *, levels: int = 1_000) -> StepTokens:
    """Random tokens; with few `levels`, many of them tie."""
    rng = torch.Generator().manual_seed(seed)
    uniform = lambda: (torch.rand(count, generator=rng) * levels).floor() / levels  # noqa: E731
    return StepTokens(
        logprobs=-6 * uniform(),
        entropy=3 * uniform(),
        advantages=2 * uniform() - 1,
        draw=torch.rand(count, generator=rng, dtype=torch.float64),
    )


def covariances(tokens: StepTokens) -> list[float]:
    logprobs, advantages = tokens.logprobs.tolist(), tokens.advantages.tolist()
    return [(lp - fmean(logprobs)) * (a - fmean(advantages)) for lp, a in zip(logprobs, advantages, strict=True)]


def best(scores: list[float], draws: list[float], count: int) -> list[int]:
    """Indices of the highest scores; of equal ones, those with the lower draw."""
    return sorted(sorted(range(len(scores)), key=lambda i: (-scores[i], draws[i]))[:count])


def chosen(kind, tokens, **keys) -> list[int]:
    mask = LOSSES[kind].choose(tokens, config_of(kind, **keys))
    assert (mask.dtype, mask.shape) == (torch.bool, tokens.draw.shape)
    return torch.nonzero(mask).flatten().tolist()


@settings(deadline=None)
@given(count=st.integers(1, 60), seed=SEEDS, fraction=st.sampled_from([1e-4, 0.2, 0.5, 1.0]), levels=st.sampled_from([3, 1_000]))
def test_high_entropy_takes_the_most_uncertain(count, seed, fraction, levels):
    tokens = step(count, seed, levels=levels)
    expected = best(tokens.entropy.tolist(), tokens.draw.tolist(), max(1, round(fraction * count)))
    assert chosen("high_entropy", tokens, fraction=fraction) == expected


@settings(deadline=None)
@given(count=st.integers(1, 60), seed=SEEDS, fraction=st.sampled_from([1e-4, 0.2, 1.0]))
def test_kl_cov_takes_the_highest_covariances(count, seed, fraction):
    tokens = step(count, seed)
    expected = best(covariances(tokens), tokens.draw.tolist(), max(1, round(fraction * count)))
    assert chosen("kl_cov", tokens, fraction=fraction) == expected


@settings(deadline=None)
@given(count=st.integers(1, 60), seed=SEEDS, fraction=st.sampled_from([1e-4, 0.05, 1.0]))
def test_clip_cov_draws_within_its_bounds(count, seed, fraction):
    tokens = step(count, seed)
    draws = tokens.draw.tolist()
    eligible = [i for i, cov in enumerate(covariances(tokens)) if 0.1 < cov < 1.0]
    expected = sorted(sorted(eligible, key=draws.__getitem__)[: max(1, round(fraction * count))])
    assert chosen("clip_cov", tokens, fraction=fraction, low=0.1, high=1.0) == expected


def test_clip_cov_without_an_eligible_token_takes_none():
    assert chosen("clip_cov", step(50, 0), low=100.0, high=200.0) == []


@pytest.mark.parametrize("kind", CHOOSERS)
@settings(deadline=None)
@given(count=st.integers(1, 80), seed=SEEDS, levels=st.sampled_from([2, 1_000]), data=st.data())
def test_the_order_of_tokens_does_not_matter(kind, count, seed, levels, data):
    """A permutation stands for other micro-batches and ranks; with two levels nearly every token ties."""
    keys = {"fraction": 0.3} | ({"low": 0.01, "high": 2.0} if kind == "clip_cov" else {})
    tokens = step(count, seed, levels=levels)
    order = torch.tensor(data.draw(st.permutations(range(count))))
    moved = StepTokens(**{name: getattr(tokens, name)[order] for name in ("logprobs", "entropy", "advantages", "draw")})
    config = config_of(kind, **keys)
    assert torch.equal(LOSSES[kind].choose(moved, config), LOSSES[kind].choose(tokens, config)[order])


@pytest.mark.parametrize("kind", CHOOSERS)
def test_a_step_without_tokens_has_none_to_choose(kind):
    assert chosen(kind, step(0, 0)) == []


def test_only_these_losses_choose():
    assert sorted(kind for kind, loss in LOSSES.items() if loss.choose is not None) == CHOOSERS
    assert all(("chosen" in loss.metrics) == (loss.choose is not None) for loss in LOSSES.values())
