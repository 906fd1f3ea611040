"""Every policy loss against loops over tokens; that none of them, nor its normaliser, depends on how the work is cut; the registry."""

from dataclasses import fields, replace
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ib_lpo.learner.config import LearnerConfig
from ib_lpo.learner.loss_config import LossConfig
from ib_lpo.learner.losses import LOSSES, NORMALISERS, TokenBatch, normaliser_of
from tests.learner.loss_loops import draw, loops

# Bounds that random ratios meet on both sides, whatever the loss.
WIDE = {"clip_low": 0.2, "clip_high": 0.3}
KINDS = sorted(LOSSES)
LENGTHS = st.lists(st.integers(0, 6), max_size=8)
SEEDS = st.integers(0, 10_000)


def config_of(kind, **keys):
    return LearnerConfig(loss={"kind": kind, **WIDE, **keys}).loss


def gradients(loss: torch.Tensor, tokens: TokenBatch) -> list[torch.Tensor]:
    found = torch.autograd.grad(loss, (tokens.logprobs, tokens.entropy), allow_unused=True, materialize_grads=True)
    return list(found)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=60)
@given(lengths=LENGTHS, seed=SEEDS)
def test_values_gradients_and_metrics_equal_the_loops(kind, lengths, seed):
    tokens, config = draw(lengths, seed), config_of(kind)
    found, expected = LOSSES[kind].token_loss(tokens, config), loops(tokens, config)
    assert found.values.tolist() == pytest.approx(expected.values, abs=1e-12)
    to_logprobs, to_entropy = gradients(found.values.sum(), tokens)
    assert to_logprobs.tolist() == pytest.approx(expected.to_logprobs, abs=1e-12)
    assert to_entropy.tolist() == pytest.approx(expected.to_entropy, abs=1e-12)
    assert set(found.metrics) == set(LOSSES[kind].metrics)
    assert not any(value.requires_grad for value in found.metrics.values())
    assert {name: float(value) for name, value in found.metrics.items()} == pytest.approx({n: expected.metrics[n] for n in found.metrics})


@pytest.mark.parametrize("kind", KINDS)
def test_the_loops_meet_both_bounds(kind):
    tokens = draw([2] * 200, 3)
    expected = loops(tokens, config_of(kind))
    assert expected.metrics["chosen"] > 0
    if "clip_low" in LOSSES[kind].metrics:
        assert expected.metrics["clip_low"] > 0 < expected.metrics["clip_high"]


def part(tokens: TokenBatch, order: list[int]) -> TokenBatch:
    """These trajectories, in this order, as a batch of their own."""
    places = [torch.nonzero(tokens.sequence == s).flatten() for s in order]
    index = torch.cat([*places, torch.empty(0, dtype=torch.int64)])
    cut = {field.name: getattr(tokens, field.name)[index] for field in fields(tokens)}
    cut["sequence"] = torch.repeat_interleave(torch.arange(len(order)), torch.tensor([p.numel() for p in places], dtype=torch.int64))
    return TokenBatch(**cut)


def normalised(tokens: TokenBatch, config, denominator: float) -> torch.Tensor:
    values = LOSSES[config.kind].token_loss(tokens, config).values
    return (normaliser_of(config).weights(tokens.sequence) * values).sum() / denominator


@pytest.mark.parametrize("normaliser", ["own", *NORMALISERS])
@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=15)
@given(lengths=LENGTHS, seed=SEEDS, data=st.data())
def test_loss_and_gradient_do_not_depend_on_the_cut(kind, normaliser, lengths, seed, data):
    tokens, config = draw(lengths, seed), config_of(kind, normaliser=normaliser)
    denominator = normaliser_of(config).denominator(float(sum(lengths)), float(len(lengths)), 6) or 1.0
    order = data.draw(st.permutations(range(len(lengths))))
    cut = data.draw(st.integers(0, len(lengths)))
    whole = normalised(tokens, config, denominator)
    parts = sum(normalised(part(tokens, ids), config, denominator) for ids in (order[:cut], order[cut:]))
    assert torch.allclose(whole, parts, rtol=1e-12, atol=1e-12)
    for one, other in zip(gradients(whole, tokens), gradients(parts, tokens), strict=True):
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-12)


@settings(deadline=None)
@given(lengths=LENGTHS.filter(any), seed=SEEDS, ranks=st.integers(1, 3))
def test_normalisers_are_the_straight_formulas(lengths, seed, ranks):
    """Sums over ranks with the denominators of all of them."""
    lengths = [n for n in lengths if n]
    values = torch.randn(sum(lengths), dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).split(lengths)
    expected = {
        "token_mean": float(torch.cat(values).mean()),
        "sequence_mean": float(torch.stack([v.mean() for v in values]).mean()),
        "constant": float(torch.cat(values).sum()) / (len(values) * 100),
    }
    for name, normaliser in NORMALISERS.items():
        total = 0.0
        for rank in range(ranks):
            held = values[rank::ranks]
            sequence = torch.repeat_interleave(torch.arange(len(held)), torch.tensor([v.numel() for v in held], dtype=torch.int64))
            total += float((normaliser.weights(sequence) * torch.cat([*held, torch.empty(0)])).sum())
        assert total / normaliser.denominator(sum(lengths), len(lengths), 100) == pytest.approx(expected[name], abs=1e-12)


def test_gspo_with_its_normaliser_is_the_papers_mean_over_responses():
    lengths = [3, 1, 5]
    tokens, config = draw(lengths, 7), config_of("gspo")
    reward = torch.tensor([1.0, -0.5, 0.25], dtype=torch.float64)
    tokens = replace(tokens, advantages=reward[tokens.sequence], weights=torch.ones_like(tokens.weights))
    expected = 0.0
    for i, gaps in enumerate((tokens.logprobs - tokens.old_logprobs).detach().split(lengths)):
        ratio = gaps.mean().exp()
        expected -= float(min(ratio * reward[i], ratio.clamp(0.8, 1.3) * reward[i])) / 3
    assert float(normalised(tokens, config, 3.0).detach()) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"entropy_reg", "entropy_adv", "clip_cov", "high_entropy"}))
def test_on_the_first_pass_all_ratio_losses_have_the_policy_gradient(kind):
    """At pi = pi_old every one of them has the gradient -w A grad log pi, spread over the trajectory by GSPO; KL-Cov's penalty has none."""
    tokens = draw([4, 4], 5)
    tokens = replace(tokens, old_logprobs=tokens.logprobs.detach(), chosen=torch.ones_like(tokens.chosen))
    loss = LOSSES[kind].token_loss(tokens, config_of(kind)).values.sum()
    expected = -tokens.weights * tokens.advantages
    if kind == "gspo":
        expected = expected.view(2, 4).mean(1, keepdim=True).expand(2, 4).flatten()
    assert torch.allclose(gradients(loss, tokens)[0], expected)


def test_no_loss_writes_to_its_tokens():
    for kind in KINDS:
        tokens = draw([3, 4], 1)
        before = {field.name: getattr(tokens, field.name).clone() for field in fields(tokens)}
        LOSSES[kind].token_loss(tokens, config_of(kind))
        assert all(torch.equal(getattr(tokens, name), value) for name, value in before.items())


def sections():
    union, _ = get_args(LossConfig)
    return [get_args(tagged)[0] for tagged in get_args(union)]


def test_registry_and_sections_name_the_same_kinds():
    assert sorted(section().kind for section in sections()) == KINDS
    assert all(loss.normaliser in NORMALISERS for loss in LOSSES.values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_alone_gives_its_section_with_defaults(kind):
    section = next(s for s in sections() if s().kind == kind)
    assert LearnerConfig(loss={"kind": kind}).loss == section()
    assert type(LearnerConfig.model_validate(LearnerConfig(loss={"kind": kind}).model_dump()).loss) is section


def test_keys_without_a_kind_are_those_of_grpo():
    loss = LearnerConfig(loss={"clip_low": 0.1}).loss
    assert (loss.kind, loss.clip_low, normaliser_of(loss)) == ("grpo", 0.1, NORMALISERS["token_mean"])


def test_own_normalisers():
    own = {kind: LOSSES[kind].normaliser for kind in KINDS}
    assert own.pop("grpo") == own.pop("gspo") == "sequence_mean"
    assert own.pop("dr_grpo") == "constant"
    assert set(own.values()) == {"token_mean"}
    for kind, name in (("dr_grpo", "constant"), ("gspo", "sequence_mean"), ("dapo", "token_mean")):
        assert normaliser_of(LearnerConfig(loss={"kind": kind}).loss) is NORMALISERS[name]


@pytest.mark.parametrize(
    ("loss", "type_", "where"),
    [
        ({"kind": "grpo", "fraction": 0.1}, "extra_forbidden", ("loss", "grpo", "fraction")),
        ({"alpha": 0.1}, "extra_forbidden", ("loss", "grpo", "alpha")),
        ({"kind": "nope"}, "union_tag_invalid", ("loss",)),
        ({"kind": "gspo", "normaliser": "mean"}, "literal_error", ("loss", "gspo", "normaliser")),
        ({"kind": "clip_cov", "low": 5.0}, "value_error", ("loss", "clip_cov")),
        ({"kind": "grpo", "clip_low": 1.0}, "less_than", ("loss", "grpo", "clip_low")),
        (3, "union_tag_not_found", ("loss",)),
    ],
)
def test_bad_sections_are_refused_where_they_are_bad(loss, type_, where):
    with pytest.raises(ValidationError) as caught:
        LearnerConfig(loss=loss)
    assert [(error["type"], error["loc"]) for error in caught.value.errors()] == [(type_, where)]
