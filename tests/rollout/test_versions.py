"""Published weights, the prefix cache and slot handles: nothing stale is ever read, and the checks would notice if it were."""

import numpy as np
import pytest
import torch
from vllm.model_executor.models.qwen2 import Qwen2Model

from ib_lpo.fleet.base import DataFailure
from ib_lpo.rollout.engine import RolloutEngine
from ib_lpo.weights.delivery import check_receipt
from ib_lpo.weights.inbox import Inbox
from ib_lpo.weights.parcel import TransferError
from tests.rollout.serving import latents, policy, prompts, request, serve
from tests.weights.sending import parcel

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    latent = {"psa": {"k_slots": 2, "layers": "all", "tau": 10.0}}
    served = serve(tmp_path_factory.mktemp("versions"), "qwen3", latent=latent)
    yield served
    served.engine.close()


@pytest.fixture
def prefix():
    return prompts((96,))[0]


def change_weights(served, seed):
    served.model.load_state_dict(policy("qwen3", seed).state_dict())
    with torch.no_grad():
        served.maps.kv.mul_(-1.3)


def test_new_weights_are_served_and_the_old_cache_is_not(served, prefix):
    branch = request("b", prefix, latent=latents(1)[0])
    served.run([branch])
    change_weights(served, seed=11)
    served.publish(1)
    generation = served.run([branch])["b"]
    assert generation.cached_tokens == 0
    assert {span.version for span in generation.spans} == {1}
    assert max(served.errors(branch, generation)) < 1e-4


def test_without_the_cache_reset_the_parity_check_notices(served, prefix, monkeypatch):
    branch = request("b", prefix, latent=latents(1)[0])
    served.run([branch])
    change_weights(served, seed=12)
    monkeypatch.setattr(RolloutEngine, "_reset_cache", lambda engine: None)
    served.publish(2)
    stale = served.run([branch])["b"]
    assert stale.cached_tokens > 0
    assert max(served.errors(branch, stale)) > 1e-2
    monkeypatch.undo()
    served.publish(3)
    assert max(served.errors(branch, served.run([branch])["b"])) < 1e-4


def test_a_reused_handle_would_be_noticed_and_cannot_happen(served, prefix, monkeypatch):
    first, second = (request(f"z{i}", prefix, latent=z) for i, z in enumerate(latents(2, seed=3)))
    monkeypatch.setattr(RolloutEngine, "_placeholders", lambda engine, req, z: [engine._spec.first_digit_id] * 2)
    served.run([first])
    wrong = served.run([second])["z1"]
    assert wrong.cached_tokens >= 96 - 32
    assert max(served.errors(second, wrong)) > 1e-2
    monkeypatch.undo()
    served.engine._reset_cache()
    served.run([first])
    right = served.run([second])["z1"]
    assert max(served.errors(second, right)) < 1e-4
    ids = [served.engine._placeholders(r, r.latent.tobytes()) for r in (first, second)]
    assert ids[0] != ids[1]


def test_the_receipt_is_read_back_from_live_parameters(served):
    before = served.publish(4).fingerprints
    with torch.no_grad():
        served.model.model.layers[1].self_attn.k_proj.weight[3, 5] += 1e-3
    after = served.publish(5).fingerprints
    assert {name for name in before if before[name] != after[name]} == {"model.layers.1.self_attn.k_proj.weight"}
    names = {name for name, _ in served.model.named_parameters()} | {"maps.kv", "maps.norm"}
    assert set(after) == names


def test_a_staged_version_is_not_served_and_cannot_be_changed_from_outside(served, prefix):
    served.publish(6)
    before = served.run([request("a", prefix)])["a"]
    change_weights(served, seed=13)
    sent = served.parcel(7)
    served.engine.stage(sent)
    served.engine._reset_cache()
    staged = served.run([request("a", prefix)])["a"]
    np.testing.assert_array_equal(before.logprobs, staged.logprobs)
    with pytest.raises(TransferError, match="asked to commit version 8, staged is 7"):
        served.engine.commit(8)
    receipt = served.engine.commit(7)
    check_receipt(receipt, sent)
    for bucket in sent.content:
        bucket.fill(0)  # the engine must have its own copy
    generation = served.run([request("a", prefix)])["a"]
    assert max(served.errors(request("a", prefix), generation)) < 1e-4
    assert {span.version for span in generation.spans} == {7}


def test_a_version_that_does_not_fit_is_refused_and_the_engine_serves_on(served, prefix):
    other = parcel([(name, tensor) for name, tensor in served.tensors() if name != "model.norm.weight"], 8)
    with pytest.raises(TransferError, match=r"engine-0: version 8 brings nothing for model.norm.weight"):
        served.engine.stage(other)
    assert max(served.errors(request("a", prefix), served.run([request("a", prefix)])["a"])) < 1e-4


def test_nothing_is_generated_without_published_weights(served, prefix, monkeypatch):
    monkeypatch.setattr(served.engine, "_version", None)
    with pytest.raises(RuntimeError, match="without published weights"):
        served.engine.advance([request("x", prefix)])


def test_same_seed_same_tokens_whatever_runs_beside(served, prefix):
    alone = served.run([request("a", prefix, seed=5)])["a"]
    others = [request(f"o{i}", p, seed=i) for i, p in enumerate(prompts((20, 50, 70), seed=9))]
    together = served.run([*others, request("a", prefix, seed=5)])["a"]
    np.testing.assert_array_equal(alone.token_ids, together.token_ids)


def test_exhausted_handles_start_a_new_epoch(served, prefix):
    resets = served.engine.cache_resets
    served.engine._handles._base, base = 1, served.engine._handles._base
    for i, z in enumerate(latents(3, seed=8)):
        branch = request(f"e{i}", prefix, latent=z)
        assert max(served.errors(branch, served.run([branch])[f"e{i}"])) < 1e-4
    served.engine._handles._base = base
    assert served.engine.cache_resets > resets


def test_requests_that_cannot_run_are_refused(served, prefix):
    with pytest.raises(DataFailure, match="exceed the engine's"):
        served.engine.advance([request("long", prefix, tokens=500)])
    with pytest.raises(DataFailure, match="cannot be injected"):
        served.engine.advance([request("thin", prefix, latent=np.zeros(3, dtype=np.float32))])


def test_without_slots_and_gate_it_is_the_base_model_bit_for_bit(tmp_path, served):
    """vLLM's own decoder forward, the PSA forward without latents, and a PSA engine's requests without z."""
    roots = [request(f"r{i}", p, seed=i) for i, p in enumerate(prompts((30, 60, 90), seed=2))]
    served.engine._reset_cache()
    row_zero = served.run(roots)
    other = serve(tmp_path, "qwen3", latent={"kind": "none"})
    other.model.load_state_dict(served.model.state_dict())
    other.publish(1)
    no_psa = other.run(roots)
    worker = other.engine._engine.engine_core.engine_core.model_executor.driver_worker.worker
    backbone = worker.model_runner.model.model
    backbone.forward = lambda *args, **kwargs: Qwen2Model.forward(backbone, *args, **kwargs)
    other.engine._reset_cache()
    stock = other.run(roots)
    other.engine.close()
    for root in roots:
        for generations in (no_psa, row_zero):
            np.testing.assert_array_equal(stock[root.id].token_ids, generations[root.id].token_ids)
            np.testing.assert_array_equal(stock[root.id].logprobs, generations[root.id].logprobs)
            np.testing.assert_array_equal(stock[root.id].entropies, generations[root.id].entropies)


def test_a_commit_that_fails_leaves_the_engine_unfit(served, prefix, monkeypatch):
    """The last test: the engine is of no use afterwards."""
    served.engine.stage(served.parcel(9))
    monkeypatch.setattr(Inbox, "confirm", lambda inbox: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        served.engine.commit(9)
    monkeypatch.undo()
    with pytest.raises(RuntimeError, match="asked to generate after a commit that failed"):
        served.engine.advance([request("x", prefix)])
    with pytest.raises(RuntimeError, match="takes no more weights"):
        served.engine.stage(served.parcel(10))
