"""One optimiser step and one report of the fit, against the loss of method.md section 1 written out."""

import copy

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from ib_lpo.errors import UserError
from ib_lpo.latent.encoders import build_encoder
from ib_lpo.latent.fitting.elbo import beta_at
from ib_lpo.latent.fitting.pairs import PairStream
from ib_lpo.latent.fitting.trainer import Trainer
from ib_lpo.policy.load import load_tokenizer
from ib_lpo.seeds import generator
from tests.latent.toy import manifest, save_model, save_solutions

STEP = {"solutions_per_step": 4, "pairs_per_solution": 1, "steps": 10, "beta": 0.7, "beta_cycles": 2, "free_bits": 1e-3}
STEP |= {"grad_clip": 1e9}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("toy")
    save_model(made / "model")
    save_solutions(made / "solutions.jsonl", 60)
    return made


@pytest.fixture
def setting(folder):
    """A trainer and the pairs of its first step."""

    def make(**fit):
        m = manifest(folder, **(STEP | fit))
        stream = PairStream(m, load_tokenizer(m.model))
        trainer = Trainer(m, build_encoder(m.latent.encoder, m.model), "cpu")
        pairs = [pair for pairs in stream.step(1) for pair in pairs]
        trainer.scale(pairs)
        return m, trainer, pairs

    return make


def encoded(m, pairs):
    encode = build_encoder(m.latent.encoder, m.model)
    return encode([pair.condition for pair in pairs]), encode([pair.target for pair in pairs])


def noise(m, pairs, number):
    return torch.stack([torch.from_numpy(generator(m.seed, "fit", "noise", number, p.id).standard_normal(4)).float() for p in pairs])


def normal(gaussian):
    return Normal(gaussian.mu, gaussian.log_sigma.exp())


@pytest.mark.parametrize("objective", ["lm", "lars"])
@pytest.mark.parametrize("budget", [4096, 20])
def test_a_step_descends_the_negative_elbo(setting, objective, budget):
    m, trainer, pairs = setting(objective=objective, max_tokens_per_pass=budget)
    plain, explain = copy.deepcopy(trainer.cvae), copy.deepcopy(trainer.objective)
    condition, continuation = encoded(m, pairs)
    posterior, prior = plain.q(condition, continuation), plain.p(condition)
    divergent = kl_divergence(normal(posterior), normal(prior))
    z = posterior.mu + posterior.log_sigma.exp() * noise(m, pairs, 3)
    nll = explain.nll(pairs, z, continuation, condition).mean()
    beta = beta_at(3, steps=10, top=0.7, cycles=2, ramp=0.5)
    loss = nll + beta * sum(divergent[:, d].mean().clamp_min(1e-3) for d in range(4))
    loss.backward()
    before = [parameter.detach().clone() for parameter in trainer.cvae.parameters()]

    metrics = trainer.step(3, pairs)

    assert metrics["beta"] == beta and metrics["nll"] == pytest.approx(nll.item(), rel=1e-4)
    assert metrics["kl"] == pytest.approx(divergent.sum(-1).mean().item(), rel=1e-3)
    assert metrics["elbo"] == pytest.approx(-(metrics["nll"] + metrics["kl"]))
    for (name, expected), found in zip(plain.named_parameters(), trainer.cvae.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-3, atol=1e-4 * float(expected.grad.abs().max()), msg=name)
    for expected, found in zip(explain.trained.parameters(), trainer.objective.trained.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-3, atol=1e-4 * float(expected.grad.abs().max()))
    assert all(not torch.equal(old, new) for old, new in zip(before, trainer.cvae.parameters(), strict=True))
    total = sum(parameter.grad.square().sum() for module in (plain, explain.trained) for parameter in module.parameters())
    assert metrics["grad_norm"] == pytest.approx(total.sqrt().item(), rel=1e-3)


def test_a_report_written_out(setting):
    m, trainer, pairs = setting()
    for number in range(1, 4):
        trainer.step(number, pairs)
    before = copy.deepcopy(trainer.cvae.state_dict())
    found = trainer.report(pairs)
    assert all(torch.equal(tensor, before[name]) for name, tensor in trainer.cvae.state_dict().items())
    with torch.no_grad():
        condition, continuation = encoded(m, pairs)
        posterior, prior = trainer.cvae.q(condition, continuation), trainer.cvae.p(condition)
        eps = noise(m, pairs, 0)
        own, drawn = posterior.mu + posterior.log_sigma.exp() * eps, prior.mu + prior.log_sigma.exp() * eps[[3, 0, 1, 2]]
        residual = (own - prior.mu) / prior.log_sigma.exp()
        other = prior.mu + prior.log_sigma.exp() * residual[[3, 0, 1, 2]]
        latents = {"nll": own, "nll_without": None, "nll_prior": drawn, "nll_other": other}
        nll = {name: trainer.objective.nll(pairs, z, continuation, condition).numpy() for name, z in latents.items()}
        kl = kl_divergence(normal(posterior), normal(prior))
    for name, values in nll.items():
        assert found[name] == pytest.approx(values.mean(), rel=1e-5)
    use = nll["nll_other"] - nll["nll"]
    assert found["use_of_z"] == pytest.approx(use.mean(), rel=1e-3)
    assert found["use_of_z_error"] == pytest.approx(np.std(use, ddof=1) / 2, rel=1e-3)
    assert found["kl_per_dim"] == pytest.approx(kl.mean(0).tolist(), rel=1e-3)
    assert found["elbo"] == pytest.approx(-(nll["nll"].mean() + kl.sum(-1).mean().item()), rel=1e-5)
    spread = ((posterior.mu - prior.mu) / prior.log_sigma.exp()).var(0)
    assert found["active_units"] == ((spread > 0.01) & (kl.mean(0) > 2e-3)).sum().item()
    assert found["tokens"] == np.mean([len(pair.target) for pair in pairs])


def test_a_z_that_says_the_condition_alone_is_of_no_use(setting):
    """q = p: a pair's own z is a draw of its prior and so is what another pair's z becomes, however far apart the priors lie."""
    _, trainer, pairs = setting(free_bits=0.0)
    with torch.no_grad():
        for parameter in trainer.cvae.prior.parameters():
            parameter.mul_(3)
    trainer.cvae.q = lambda condition, continuation: trainer.cvae.p(condition)
    trainer._noise = lambda pairs, number: torch.ones(len(pairs), 4)
    found = trainer.report(pairs)
    assert found["use_of_z"] == pytest.approx(0.0, abs=1e-4) and found["nll_other"] == pytest.approx(found["nll_prior"], abs=1e-4)
    assert found["active_units"] == 0 and found["kl"] == pytest.approx(0.0, abs=1e-5)
    condition, _ = trainer._encode(pairs)
    assert trainer.cvae.p(condition).mu.std(0).max() > 0.05  # another's z as it is would be another z


def test_clipping_bounds_the_gradient(setting):
    _, trainer, pairs = setting(grad_clip=0.01)
    assert trainer.step(1, pairs)["grad_norm"] > 1
    parameters = [*trainer.cvae.parameters(), *trainer.objective.trained.parameters()]
    assert torch.stack([p.grad.norm() for p in parameters]).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_a_gradient_that_is_not_finite_changes_nothing(setting):
    _, trainer, pairs = setting()
    with torch.no_grad():
        trainer.objective.maps.kv[0, 0, 0, 0, 0, 0] = float("nan")
    before = copy.deepcopy(trainer.cvae.state_dict())
    with pytest.raises(UserError, match=r"^latent_fit\.lr=0\.02: the gradient of step 1 is not finite; lower it"):
        trainer.step(1, pairs)
    assert all(torch.equal(tensor, before[name]) for name, tensor in trainer.cvae.state_dict().items())


def test_networks_start_from_the_seed_and_not_from_the_process(setting):
    state = torch.get_rng_state()
    first = setting()[1].cvae.state_dict()
    torch.manual_seed(5)
    second = setting()[1].cvae.state_dict()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    other = setting(hidden=33)[1].cvae.state_dict()
    assert other["prior.body.0.weight"].shape[0] == 33
    torch.set_rng_state(state)
