"""Latents: deterministic from the fork's seed, distributed as the prior says."""

import numpy as np
import pytest
import torch

from ib_lpo.errors import UserError
from ib_lpo.latent.encoder import EmbeddingEncoder
from ib_lpo.latent.prior import CvaeShape, PriorNetwork, save_prior
from ib_lpo.latent.sampler import LatentRequest, LatentSampler
from ib_lpo.manifest import validate
from tests.rollout.serving import policy

PREFIX = np.arange(2, 40, dtype=np.int32)


def manifest(path, **latent):
    return validate({"name": "t", "steps": 1, "model": {"path": str(path)}, "latent": {"dim": 8, **latent}})


def fork(seed, prefix=PREFIX, count=3):
    return LatentRequest(prefix_ids=prefix, count=count, seed=seed)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model")
    policy("qwen3").save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def cvae(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cvae")
    torch.manual_seed(0)
    shape = CvaeShape(dim=8, features=128, hidden=16, window=10)
    network = PriorNetwork(shape)
    save_prior(directory, network, shape)
    return directory, network


def test_normal_latents_are_seeded_and_independent_of_company():
    sampler = LatentSampler(manifest("unused", kind="normal"))
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
    sampler = LatentSampler(manifest(model, kind="cvae", weights=str(directory), temperature=0.5))
    table = policy("qwen3").get_input_embeddings().weight
    with torch.no_grad():
        mu, log_sigma = network(table[torch.from_numpy(PREFIX[-10:]).long()].mean(0)[None])
    draws = np.stack(sampler.sample([fork(1, count=4000)])[0])
    np.testing.assert_allclose(draws.mean(0), mu[0].numpy(), atol=0.05)
    np.testing.assert_allclose(draws.std(0), 0.5 * log_sigma[0].exp().numpy(), rtol=0.06)
    other = np.stack(sampler.sample([fork(1, prefix=PREFIX[::-1].copy(), count=4000)])[0])
    assert np.abs(other.mean(0) - draws.mean(0)).max() > 1e-3


def test_the_encoder_keeps_the_fork_end(model):
    encode = EmbeddingEncoder(manifest(model).model)
    long = np.concatenate([np.full(50, 9, np.int32), PREFIX])
    torch.testing.assert_close(encode([long], 20), encode([PREFIX], 20))


def test_missing_or_misfitting_weights_are_user_errors(tmp_path, model, cvae):
    with pytest.raises(UserError, match=r"latent\.weights="):
        LatentSampler(manifest(model, kind="cvae", weights=str(tmp_path)))
    with pytest.raises(UserError, match=r"set latent\.dim"):
        LatentSampler(manifest(model, kind="cvae", weights=str(cvae[0]), dim=5))
