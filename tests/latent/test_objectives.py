"""What a latent must explain, against straight-line computations; and what of the model may change on the way: the maps."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ib_lpo.latent.cvae import Cvae
from ib_lpo.latent.fitting.objectives import OBJECTIVES
from ib_lpo.latent.fitting.pairs import Pair
from ib_lpo.latent.store import CvaeShape
from ib_lpo.manifest import validate
from tests.policy.reference import reference_logits
from tests.policy.tiny import ARCHITECTURES, SIZES, tiny_policy

DIM, VOCAB = 6, SIZES["vocab_size"]
SHAPE = CvaeShape(dim=DIM, features=5, hidden=7)
GATED = {"layers": [0, 2], "k_slots": 2, "tau": 4.0, "gamma0": 1.3, "init_std": 1.0, "layer_gates": [0.5, -1.0]}
with_gradient = reference_logits.__wrapped__  # below torch.no_grad


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A directory per architecture."""
    directories = {name: tmp_path_factory.mktemp(name) for name in ARCHITECTURES}
    for name, directory in directories.items():
        tiny_policy(name).save_pretrained(directory)
    return directories


@pytest.fixture
def build(models):
    def make(architecture="qwen3", kind="lm", injection="psa", budget=4096):
        psa = {key: value for key, value in GATED.items() if injection == "psa" or key != "layer_gates"}
        values = {
            "name": "t",
            "steps": 1,
            "model": {"path": str(models[architecture])},
            "latent": {"kind": "normal", "untrained": True, "dim": DIM, "injection": injection, "psa": psa},
            "latent_fit": {"max_tokens_per_pass": budget},
            "learner": {"logprob_chunk": 5},
        }
        return OBJECTIVES[kind](validate(values), SHAPE, "cpu")

    return make


def pairs() -> list[Pair]:
    """Two solutions of one prompt, split at several places, and one of its own whose target is a single token."""
    rng = np.random.default_rng(2)
    prompt, *solutions = (rng.integers(1, VOCAB, n).astype(np.int32) for n in (4, 9, 6))
    wholes = [np.concatenate([prompt, solution]) for solution in solutions] + [rng.integers(1, VOCAB, 5).astype(np.int32)]
    starts = [(0, 5), (0, 9), (1, 6), (2, 4)]
    return [Pair(id=f"{i}@{at}", ids=wholes[i], start=at, cut=False) for i, at in starts]


def latents() -> torch.Tensor:
    return torch.randn(len(pairs()), DIM, generator=torch.Generator().manual_seed(3))


def straight_line(model, maps, psa, injection, pair, z):
    """-log p of one pair's target, token by token."""
    logits = with_gradient(model, torch.from_numpy(pair.ids).long(), maps, maps.shape.layers, psa, z, pair.start - 1, injection=injection)
    total = 0.0
    for position in range(pair.start, len(pair.ids)):
        row = logits[position - 1]
        total = total - (row[pair.ids[position]] - torch.logsumexp(row, 0))
    return total


def unused():
    return torch.zeros(len(pairs()), 5)


@pytest.mark.parametrize("injection", ["psa", "input", "softmax"])
@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_the_policys_nll_and_its_gradient(build, architecture, injection):
    objective, model = build(architecture, injection=injection), tiny_policy(architecture)
    psa, maps, z = objective._psa, objective.maps, latents().requires_grad_()
    found = objective.nll(pairs(), z, unused(), unused())
    weights = torch.tensor([1.0, -0.5, 2.0, 0.7])
    gradient = torch.autograd.grad((weights * found).sum(), [z, *maps.parameters()])
    wanted = torch.stack([straight_line(model, maps, psa, injection, pair, z[i]) for i, pair in enumerate(pairs())])
    expected = torch.autograd.grad((weights * wanted).sum(), [z, *maps.parameters()])
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    for ours, theirs in zip(gradient, expected, strict=True):
        assert theirs.abs().max() > 1e-3
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.abs().max()))


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
@torch.no_grad()
def test_without_z_it_is_the_frozen_policy(build, architecture):
    objective, model = build(architecture), tiny_policy(architecture)
    found = objective.nll(pairs(), None, unused(), unused())
    for pair, nll in zip(pairs(), found, strict=True):
        logprobs = model(torch.from_numpy(pair.ids).long()[None]).logits[0].log_softmax(-1)
        assert nll.item() == pytest.approx(-sum(logprobs[i - 1, pair.ids[i]].item() for i in range(pair.start, len(pair.ids))), rel=1e-4)
    assert (objective.nll(pairs(), latents(), unused(), unused()) - found).abs().min() > 1e-2


def test_only_the_maps_are_trained(build):
    objective = build()
    before = {name: tensor.clone() for name, tensor in objective._policy.state_dict().items()}
    optimiser = torch.optim.SGD(objective.trained.parameters(), lr=0.1)
    objective.nll(pairs(), latents(), unused(), unused()).sum().backward()
    optimiser.step()
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in objective._policy.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in objective._policy.state_dict().items())
    assert all(parameter.grad.abs().sum() > 0 for parameter in objective.maps.parameters())


@pytest.mark.parametrize(("budget", "passes"), [(1, 4), (26, 2), (36, 2), (4096, 1)])
def test_passes_change_neither_value_nor_gradient(build, budget, passes):
    lengths = [len(pair.ids) for pair in pairs()]
    assert lengths == [13, 13, 10, 5]
    one, many = build(), build(budget=budget)
    parts = list(many.passes(pairs()))
    assert len(parts) == passes and [i for part in parts for i in range(len(pairs()))[part]] == list(range(len(pairs())))
    assert all(sum(lengths[part]) <= budget or part.stop - part.start == 1 for part in parts)
    found = []
    for objective in (one, many):
        z, total = latents().requires_grad_(), []
        for part in objective.passes(pairs()):
            total.append(objective.nll(pairs()[part], z[part], unused()[part], unused()[part]))
            total[-1].sum().backward()
        found.append([torch.cat(total).detach(), z.grad, *(parameter.grad for parameter in objective.maps.parameters())])
    for together, apart in zip(*found, strict=True):
        torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-4)
    assert list(one.passes([])) == []


def test_lars_is_half_the_squared_error_of_the_scaled_embedding(build):
    torch.manual_seed(1)
    objective, continuation, condition, z = build(kind="lars"), torch.randn(4, 5), torch.randn(4, 5), latents()
    first, _, second = objective.trained
    for latent in (z, None):
        found = objective.nll(pairs(), latent, continuation, condition)
        for i in range(4):
            wanted, given = ((x[i] - x[i].mean()) / torch.sqrt(x[i].var(correction=0) + 1e-5) for x in (continuation, condition))
            inputs = torch.cat([torch.zeros(DIM) if latent is None else latent[i], given])
            decoded = second.weight @ F.silu(first.weight @ inputs + first.bias) + second.bias
            assert found[i].item() == pytest.approx(0.5 * math.fsum((decoded - wanted).square().tolist()), rel=1e-4)
    assert objective.maps is None and list(objective.passes(pairs())) == [slice(0, 4)]


def test_lars_runs_no_policy_and_gives_z_a_gradient(build, monkeypatch):
    monkeypatch.setattr("ib_lpo.latent.fitting.objectives.lm.load_policy", lambda *_, **__: pytest.fail("a policy was loaded"))
    objective, cvae = build(kind="lars"), Cvae(SHAPE)
    condition, continuation = torch.randn(4, 5), torch.randn(4, 5)
    posterior = cvae.q(condition, continuation)
    objective.nll(pairs(), posterior.sample(latents()), continuation, condition).sum().backward()
    assert cvae.posterior.body[0].weight.grad.abs().sum() > 0 and cvae.prior.body[0].weight.grad is None
