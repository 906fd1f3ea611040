"""Latents: deterministic from the fork's seed, distributed as the prior says, one encoding for all forks of a call."""

import numpy as np
import pytest
import torch

from ib_lpo.errors import UserError
from ib_lpo.latent.cvae import Cvae
from ib_lpo.latent.draws import DRAWS
from ib_lpo.latent.encoders.embedding import EmbeddingEncoder
from ib_lpo.latent.sampler import LatentRequest, LatentSampler
from ib_lpo.latent.store import CvaeShape, save_latent
from ib_lpo.manifest import validate
from tests.rollout.serving import policy

PREFIX = np.arange(2, 40, dtype=np.int32)
ENCODER = {"window": 10}


def manifest(path, **latent):
    return validate(
        {"name": "t", "steps": 1, "model": {"path": str(path)}, "latent": {"kind": "normal", "untrained": True, "dim": 8, **latent}}
    )


def fork(seed, prefix=PREFIX, count=3):
    return LatentRequest(prefix_ids=prefix, count=count, seed=seed)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model")
    policy("qwen3").save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def cvae(model, tmp_path_factory):
    return cvae_of(tmp_path_factory.mktemp("cvae"), model, features=128)


def cvae_of(directory, model, features):
    """A directory with a random CVAE of the policy `model`, and the CVAE: its prior depends on the condition."""
    fitted_with = manifest(model, encoder=ENCODER)
    torch.manual_seed(0)
    shape = CvaeShape(dim=8, features=features, hidden=16)
    cvae = Cvae(shape)
    cvae.scale["condition"].measure(0.05 * torch.randn(20, features))
    with torch.no_grad():
        cvae.prior.body[-1].weight.mul_(10)
    save_latent(directory, networks=cvae.state_dict(), shape=shape, manifest=fitted_with, maps=None, report={})
    return directory, cvae


@pytest.mark.parametrize("draw", sorted(DRAWS))
def test_normal_latents_are_seeded_and_independent_of_company(draw):
    sampler = LatentSampler(manifest("unused", kind="normal", draw=draw))
    alone = sampler.sample([fork(7)])[0]
    among = sampler.sample([fork(1), fork(7), fork(2)])[1]
    np.testing.assert_array_equal(alone, among)
    assert alone[0].dtype == np.float32
    many = np.stack(sampler.sample([fork(3, count=4000)])[0])
    assert abs(many.mean()) < 0.02
    assert abs(many.std() - 1) < 0.02


def test_no_latents():
    assert LatentSampler(manifest("unused", kind="none")).sample([fork(1)]) == [[None] * 3]


def test_cvae_latents_follow_the_prior_network(model, cvae):
    directory, network = cvae
    sampler = LatentSampler(manifest(model, kind="cvae", weights=str(directory), encoder=ENCODER, temperature=0.5))
    table = policy("qwen3").get_input_embeddings().weight
    with torch.no_grad():
        prior = network.p(table[torch.from_numpy(PREFIX[-10:]).long()].mean(0)[None])
    draws = np.stack(sampler.sample([fork(1, count=4000)])[0])
    np.testing.assert_allclose(draws.mean(0), prior.mu[0].numpy(), atol=0.05)
    np.testing.assert_allclose(draws.std(0), 0.5 * prior.log_sigma[0].exp().numpy(), rtol=0.06)
    other = np.stack(sampler.sample([fork(1, prefix=PREFIX[::-1].copy(), count=4000)])[0])
    assert np.abs(other.mean(0) - draws.mean(0)).max() > 0.1


def test_draw_and_temperature_shape_the_noise_around_the_mean(model, cvae):
    def sample(**latent):
        return np.stack(
            LatentSampler(manifest(model, kind="cvae", weights=str(cvae[0]), encoder=ENCODER, **latent)).sample([fork(1, count=4)])[0]
        )

    mu = sample(temperature=0.0)
    assert (mu == mu[0]).all()
    pairs = sample(draw="antithetic") - mu
    np.testing.assert_allclose(pairs[0::2], -pairs[1::2], atol=1e-6)
    np.testing.assert_allclose(sample(draw="antithetic", temperature=2.0) - mu, 2 * pairs, atol=1e-5)
    spread = sample(draw="stratified") - mu  # two of the four strata lie above the median
    assert ((spread > 0).sum(0) == 2).all()


def test_one_encoding_for_all_forks_of_a_call(model, cvae, monkeypatch):
    sampler = LatentSampler(manifest(model, kind="cvae", weights=str(cvae[0]), encoder=ENCODER))
    calls, encode = [], EmbeddingEncoder.__call__
    monkeypatch.setattr(EmbeddingEncoder, "__call__", lambda self, prefixes: calls.append(len(prefixes)) or encode(self, prefixes))
    forks = [fork(seed, prefix=PREFIX[seed:]) for seed in range(5)]
    together = sampler.sample(forks)
    assert calls == [5]
    for latents, alone in zip(together, forks, strict=True):
        np.testing.assert_allclose(latents, sampler.sample([alone])[0], rtol=1e-5, atol=1e-6)


def test_missing_or_misfitting_weights_are_user_errors(tmp_path, model, cvae):
    def refused(message, weights=cvae[0], **latent):
        with pytest.raises(UserError, match=message) as caught:
            LatentSampler(manifest(model, **{"kind": "cvae", "weights": str(weights), "encoder": ENCODER} | latent))
        assert "\n" not in str(caught.value)

    refused(r"^latent\.weights='.*': no usable latent\.json and latent\.safetensors there", tmp_path)
    refused(r"^latent\.dim=5: .* has dimension 8; set latent\.dim to that", dim=5)
    refused(r"^latent\.encoder\.window=11: .* trained with 10; set latent\.encoder\.window to that", encoder={"window": 11})
    refused(r"^latent\.weights='.*': the prior takes 64 features, .* gives 128; use", cvae_of(tmp_path / "other", model, features=64)[0])
