"""Engine log-probs and entropies against a straight-line reference that knows nothing of slots, vLLM or caches."""

import numpy as np
import pytest
import torch

from ib_lpo.learner.model import PolicyModule
from ib_lpo.policy.forest import Path, plant
from ib_lpo.policy.packed_attention import install
from tests.rollout.serving import BLOCK, TEMPERATURE, latents, mixed_branches, policy, prompts, request, serve

pytestmark = pytest.mark.slow

CASES = {
    "qwen3": {"psa": {"k_slots": 3, "layers": "all", "gate": "exponential", "tau": 6.0}},
    "qwen2": {"psa": {"k_slots": 2, "layers": [0, 2], "gate": "cosine", "tau": 9.0, "gamma0": 0.7}},
    "llama": {"psa": {"k_slots": 4, "layers": 1, "gate": "linear", "tau": 8.0}},
    "qwen3 gated": {"psa": {"k_slots": 2, "layers": 2, "gate": "constant", "layer_gates": [0.4, -1.5]}},
    "qwen2 input": {"injection": "input", "psa": {"k_slots": 2, "tau": 7.0}},
    "llama softmax": {"injection": "softmax", "psa": {"k_slots": 1, "gate": "cosine", "tau": 9.0}},
}


@pytest.fixture(scope="module", params=CASES)
def served(request, tmp_path_factory):
    served = serve(tmp_path_factory.mktemp("policy"), request.param.split()[0], latent=CASES[request.param])
    yield served
    served.engine.close()


@pytest.fixture(scope="module")
def prefixes():
    return prompts((2, 33, 64, 97, 110))


def test_tokens_without_z_match_the_reference(served, prefixes):
    roots = [request(f"r{i}", prefix, seed=i) for i, prefix in enumerate(prefixes)]
    generations = served.run(roots)
    assert max(max(served.errors(root, generations[root.id])) for root in roots) < 1e-4


def test_branches_with_and_without_z_match_the_reference_fresh_and_from_cache(served, prefixes):
    branches = mixed_branches(prefixes)
    fresh = served.run(branches)
    again = served.run(branches)
    for branch in branches:
        assert max(served.errors(branch, fresh[branch.id])) < 1e-4
        assert max(served.errors(branch, again[branch.id])) < 1e-4
        np.testing.assert_array_equal(fresh[branch.id].token_ids, again[branch.id].token_ids)


def test_z_matters(served, prefixes):
    branches = mixed_branches(prefixes, per_prefix=2)
    generations = served.run(branches)
    with_z = next(b for b in branches if b.latent is not None)
    without = request("plain", with_z.prefix_ids)
    assert served.errors(without, generations[with_z.id])[0] > 0.05


def test_branches_read_their_prefix_from_the_cache(served, prefixes):
    prefix = prefixes[3]
    served.run([request("root", prefix, tokens=1)])
    (branch,) = mixed_branches([prefix], per_prefix=1)
    for generation in served.run([branch]).values():
        assert generation.cached_tokens >= (len(prefix) - 1) // BLOCK * BLOCK


def test_the_learner_side_computes_the_same_log_probs(served, prefixes):
    """Branches of one prefix, with and without z, and a root that shares a part of it, sampled by the engine, packed as
    one tree by the learner."""
    base = policy(served.model.config.model_type)
    install(base, served.maps.shape)
    learner = PolicyModule(base, served.maps, served.manifest.latent.psa, temperature=TEMPERATURE, chunk=16)
    requests = [*mixed_branches(prefixes[2:3]), request("root", prefixes[2][:20], seed=3, tokens=40)]
    generations = served.run(requests)
    paths = [
        Path(ids=np.concatenate([r.prefix_ids, generations[r.id].token_ids]), start=len(r.prefix_ids), latent=r.latent) for r in requests
    ]
    with torch.no_grad():
        logprobs, entropies = learner(plant(paths, share=True))
    for got, want in ((logprobs, "logprobs"), (entropies, "entropies")):
        reported = np.concatenate([getattr(generations[r.id], want) for r in requests])
        assert float((got - torch.from_numpy(reported)).abs().max()) < 1e-4, want


def test_generations_report_length_version_and_status(served, prefixes):
    generation = served.run([request("one", prefixes[1], tokens=5)])["one"]
    assert len(generation.token_ids) == len(generation.logprobs) == len(generation.entropies) <= 5
    assert [(s.start, s.end) for s in generation.spans] == [(0, len(generation.token_ids))]
    assert (generation.status == "finished") == (generation.token_ids[-1] == 1)


def test_preempted_branches_are_recomputed_exactly(tmp_path):
    cramped = serve(tmp_path, "llama", latent=CASES["llama"], kv_cache_gb=0.0009)  # about a dozen blocks
    scheduler = cramped.engine._engine.engine_core.engine_core.scheduler
    preempted = []
    original = scheduler._preempt_request
    scheduler._preempt_request = lambda req, *a, **k: (preempted.append(req.request_id), original(req, *a, **k))[1]
    zs = latents(6, seed=4)
    branches = [
        request(f"q{i}", prefix, seed=i, tokens=50, latent=zs[i]) for i, prefix in enumerate(prompts((40, 50, 60, 70, 80, 90), seed=5))
    ]
    generations = cramped.run(branches)
    cramped.engine.close()
    assert preempted
    assert max(max(cramped.errors(b, generations[b.id])) for b in branches) < 1e-4
